/**
 * One thread's decisions. The path of every request: a call into the addon leaves its answer in a typed array, and
 * one object is made of that.
 */

import { Decided, Ruled } from './decided.ts'
import { TollgateClosedError, TollgateConfigError, TollgateInputError, type TollgateError } from './errors.ts'
import { fleetIssue, settingsJson, type FleetSettings } from './fleet-settings.ts'
import { grantsOf, type Grant, type Grants } from './grant.ts'
import { answers, type Inquiry } from './inquiry.ts'
import { LimitsRecord, openRecord, QUOTA } from './ledger.ts'
import { addon, answer, Asked, channel, MOST_KEYS, Outcome, Slot, refusedBy, translated } from './native.ts'
import type {
  NativeCompiledPolicy,
  NativeDeployment,
  NativeGate,
  NativeHot,
  NativeNeeds,
  NativeSharing,
  NativeTallies,
} from './native.ts'
import type { PolicySpec } from './policy-spec.ts'
import { printed } from './printed.ts'
import { isAllowed, isForbidden, reasonOf } from './reason.ts'
import { ACCEPTED_NAME } from './tenant-name.ts'
import type { Decision } from './types.ts'

/** What a gate is opened with. */
export interface GateSettings {
  namespace: string
  maxKeys: number
  keyShare: number
  clock?: (() => number) | undefined
  /** Are its tenants loaded again and again? */
  refreshes: boolean
  /** Where buckets are shared by a fleet. */
  fleet?: FleetSettings | undefined
}

/** What is asked for besides a decision. */
export interface Demand {
  /** The name is a client's address, not a tenant. */
  anonymous?: boolean
  /** The name of a rule that is charged whether it matches or not. */
  rule?: string | undefined
  /** That rule alone: the rest was charged before. */
  ruleAlone?: boolean
  /** A ticket, by which what is charged can be given back. */
  ticket?: boolean
  /** It waits for a lease no longer: what is to be done without a backend decides, if there is none yet. */
  lastWord?: boolean
}

/** What a decision came from: each limit that applied, or the tenant's own. */
export type Limits = LimitsRecord | SoleLimit

/** The only limit that applied. */
export interface SoleLimit {
  /** Infinity without a limit. */
  quota: number
  windowMs: number
}

/** What a cost may be. */
export const ACCEPTED_COST = `a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`

export function isCost(cost: unknown): cost is number {
  return Number.isSafeInteger(cost) && (cost as number) >= 0
}

/** Nothing but a decision. */
const NO_DEMAND: Demand = {}

/** Before the policy has been asked what it needs: as if the tenant alone decided. */
const UNREAD: NativeNeeds = {
  generation: 0,
  plain: true,
  path: false,
  method: false,
  address: false,
  user: false,
  keys: [],
  rules: [],
  perTenant: [],
  comparison: 0,
  ownUser: false,
  ownKeys: 0,
}

export class Gate {
  private readonly native: NativeGate
  private id: number
  private readonly hot: NativeHot
  private readonly clock: (() => number) | undefined
  private readonly fleet: FleetSettings | undefined
  private needs = UNREAD
  private byRules = false
  private record = LimitsRecord.NONE
  /** Rules by name, in the policy of `needs`. */
  private numbers = new Map<string, number>()

  /** @throws {@link TollgateConfigError} if the namespace serves another policy, or a backend cannot be one. */
  constructor(policy: NativeCompiledPolicy, settings: GateSettings) {
    this.clock = settings.clock
    const { namespace, maxKeys, keyShare, refreshes, fleet } = settings
    this.fleet = fleet
    const { channel: way, hot } = channel()
    this.tick()
    try {
      const shared = fleet === undefined ? [] : [settingsJson(fleet)]
      this.native = new (addon().Gate)(way, namespace, policy, maxKeys, keyShare, refreshes, ...shared)
    } catch (error) {
      const issue = fleet === undefined ? undefined : fleetIssue(error, fleet)
      if (issue !== undefined) throw new TollgateConfigError([issue], 'TOLLGATE_CONFIG', { cause: error })
      throw translated(error, 'namespace', printed(namespace))
    }
    this.id = this.native.id
    this.hot = hot
    this.needs = this.native.needs()
  }

  /** Is the tenant all that a decision depends on, as far as is known here? */
  get plain(): boolean {
    return this.needs.plain
  }

  /**
   * The number of the comparison of two policies that the last call of {@link charge} was judged in; 0 while nothing is compared.
   * What comes of that request is to be told: see {@link ended}.
   */
  get comparison(): number {
    return this.needs.comparison
  }

  /** A request that was judged in a comparison has been answered, with 5xx or not. */
  ended(comparison: number, serverError: boolean): void {
    this.native.ended(comparison, serverError, false)
  }

  /** The limiter itself has failed on a request: that counts, if two policies are compared. */
  failed(): void {
    // It may fail on every request since one began, so that no decision has come to say that there is something to read.
    this.read()
    if (this.needs.comparison !== 0) this.native.ended(this.needs.comparison, false, true)
  }

  /**
   * Judges the same requests by another policy, too, in this process, for a step of the rollout of a revision. One of the same round
   * goes on with the numbers that there are; any other takes the place of the one before.
   */
  compare(policy: NativeCompiledPolicy, revision: number, step: number, candidateDecides: boolean): void {
    this.tick()
    this.native.compare(policy, revision, step, candidateDecides)
  }

  /** Judges requests by the policy in force alone. */
  endComparison(): void {
    this.tick()
    this.native.compare(undefined, 0, 0, false)
  }

  /** What the comparison that is under way has counted. */
  tallies(): NativeTallies | undefined {
    const tallies = this.native.tallies()
    return tallies === null ? undefined : (JSON.parse(tallies) as NativeTallies)
  }

  /** Charges a request to every limit that applies to it; gives an outcome. */
  charge(name: string, cost: number, inquiry: Inquiry, demand = NO_DEMAND): number {
    if (this.needs.plain && demand.ticket !== true && demand.lastWord !== true) {
      const outcome = demand.anonymous === true ? this.consumeAnonymous(name, cost) : this.consume(name, cost)
      if (outcome !== Outcome.stale) return outcome
    }
    let outcome: number
    do {
      outcome = this.chargeByRules(name, cost, inquiry, demand, this.needs)
    } while (this.isStale(outcome))
    return outcome
  }

  /** Charges a tenant by its quota alone, or finds that there is more to it: {@link Outcome.stale}. */
  consume(tenant: string, cost: number): number {
    this.tick()
    this.byRules = false
    answer[Slot.limiter] = this.id
    if (cost === 1) this.hot.consume(tenant)
    else if (!atCost(this.hot.consume, tenant, cost)) return Outcome.invalidCost
    return answer[Slot.outcome]!
  }

  private consumeAnonymous(key: string, cost: number): number {
    this.tick()
    this.byRules = false
    answer[Slot.limiter] = this.id
    if (cost === 1) this.hot.consumeAnonymous(key)
    else if (!atCost(this.hot.consumeAnonymous, key, cost)) return Outcome.invalidCost
    return answer[Slot.outcome]!
  }

  private chargeByRules(
    name: string,
    cost: number,
    inquiry: Inquiry,
    demand: Demand,
    needs: NativeNeeds,
  ): number {
    if (needs.address || needs.user || needs.keys.length > 0) {
      const said = answers(inquiry, needs)
      this.prepare(inquiry, demand, needs)
      const { decideByKeys, decideByKeysOfBoth } = this.hot
      const decide = needs.keys.length > MOST_KEYS ? decideByKeysOfBoth : decideByKeys
      if (cost === 1) decide(name, ...said)
      else if (!atCost((named) => decide(named, ...said), name, cost)) return Outcome.invalidCost
    } else {
      const target = needs.path ? inquiry.target() : undefined
      this.prepare(inquiry, demand, needs)
      if (cost === 1) this.hot.decide(name, target)
      else if (!atCost((named) => this.hot.decide(named, target), name, cost)) return Outcome.invalidCost
    }
    return answer[Slot.outcome]!
  }

  /** What {@link charge} would give. */
  examine(name: string, cost: number, inquiry: Inquiry, demand = NO_DEMAND): number {
    return this.asked(inquiry, demand, (said) => {
      let outcome: number = Outcome.invalidCost
      atCost(() => (outcome = this.native.examine([name, ...said])), name, cost)
      return outcome
    })
  }

  reward(name: string, tokens: number, inquiry: Inquiry, demand: Demand): number {
    return this.adjust(name, inquiry, demand, (said) => this.native.reward(said, tokens))
  }

  penalize(name: string, tokens: number, inquiry: Inquiry, demand: Demand): number {
    return this.adjust(name, inquiry, demand, (said) => this.native.penalize(said, tokens))
  }

  block(name: string, durationMs: number, inquiry: Inquiry, demand: Demand): number {
    return this.adjust(name, inquiry, demand, (said) => this.native.block(said, durationMs))
  }

  reset(name: string, inquiry: Inquiry, demand: Demand): number {
    return this.adjust(name, inquiry, demand, (said) => this.native.reset(said))
  }

  /** In words: what the policy makes of a request. */
  explain(name: string, cost: number, inquiry: Inquiry, demand: Demand): string {
    let text = ''
    const outcome = this.asked(inquiry, demand, (said) => {
      atCost(() => (text = this.native.explain([name, ...said])), name, cost)
      return text === '' ? this.native.examine([name, ...said]) : Outcome.ok
    })
    if (outcome < 0) throw this.failure(outcome, name, cost)
    return text
  }

  /** The decision that {@link charge} or {@link examine} left behind; `outcome` is what that gave, and not negative. */
  decision(outcome: number, tenant: string | undefined): Decision {
    if (!this.byRules) return this.decisionOn(QUOTA, outcome, tenant)
    this.record = LimitsRecord.kept(this.needs.rules)
    return ruled(outcome, tenant, this.record.decisiveRule(), this.record)
  }

  /** What the last call left behind of one bucket: that of a rule, or of the tenant. */
  decisionOn(rule: string, outcome: number, tenant: string | undefined): Decision {
    if (isForbidden(outcome)) return ruled(outcome, tenant, rule, LimitsRecord.NONE)
    return new Decided(
      isAllowed(outcome),
      tenant,
      rule,
      answer[Slot.capacity]!,
      answer[Slot.remaining]!,
      answer[Slot.resetMs]!,
      answer[Slot.retryAfterMs]!,
      reasonOf(outcome),
    )
  }

  /** What headers tell of the last {@link decision}. */
  lastLimits(): Limits {
    if (this.byRules) return this.record
    return { quota: answer[Slot.quota]!, windowMs: answer[Slot.windowMs]! }
  }

  /** The ticket of the last call of {@link charge}; 0 if nothing was charged that may come back. */
  lastTicket(): number {
    return this.byRules ? answer[Slot.ticket]! : 0
  }

  /** The number of the answer that the last call of {@link charge} awaits, if it gave {@link Outcome.pending}. */
  lastAwaited(): number {
    return answer[Slot.awaited]!
  }

  /** The response has ended: slots come back, and what was charged waits for one of those that follow. */
  release(ticket: number): void {
    this.tick()
    this.native.release(ticket)
  }

  /** Hands a ticket in: slots come back, costs stay. */
  end(ticket: number): boolean {
    this.tick()
    return this.native.end(ticket)
  }

  /** Hands a ticket in: everything comes back. */
  cancel(ticket: number): boolean {
    this.tick()
    return this.native.cancel(ticket)
  }

  /** Hands a ticket in: the request has cost so much. */
  settle(ticket: number, actual: number): boolean {
    this.tick()
    return this.native.settleAt(ticket, actual)
  }

  /** Ends some of the tickets that have expired; gives whether there are tickets left that will. */
  dropExpired(): boolean {
    this.tick()
    return this.native.dropExpired()
  }

  /** Lets a ticket end by itself. */
  expire(ticket: number, afterMs: number): void {
    this.tick()
    this.native.expire(ticket, afterMs)
  }

  /** What a rule is called in decisions: by its own name, or by that of the rule that does the same. */
  calledRule(name: string): string | undefined {
    return this.needs.rules[this.ruleNumber(name)]
  }

  /** Has the policy in force a rule of this name? */
  hasRule(name: string): boolean {
    return this.native.ruleNamed(name) >= 0
  }

  /** The error that a negative outcome stands for. */
  failure(outcome: number, tenant: unknown, cost: unknown): TollgateError {
    switch (outcome) {
      case Outcome.invalidTenant:
        return new TollgateInputError(
          'TOLLGATE_INVALID_TENANT',
          `tenant: given ${printed(tenant)}; accepted: ${ACCEPTED_NAME}`,
        )
      case Outcome.invalidCost:
        return new TollgateInputError(
          'TOLLGATE_INVALID_COST',
          `cost: given ${printed(cost)}; accepted: ${ACCEPTED_COST}`,
        )
      case Outcome.noTokens:
        return new TollgateInputError(
          'TOLLGATE_INVALID_COST',
          'rule: given a limit on concurrency; accepted: a rule with a quota, because slots belong to requests',
        )
      default:
        return new TollgateClosedError()
    }
  }

  /** Changes tenants of the policy in force; resolves, once that is done, to which of `removed` were named. */
  async amend(granted: readonly [string, Grant][], removed: string[]): Promise<boolean[]> {
    const column = (pick: (grant: Grant) => number): Float64Array =>
      Float64Array.from(granted, ([, grant]) => pick(grant))
    const rows = [
      granted.map(([name]) => name),
      column(({ quota }) => quota),
      column(({ burst }) => burst),
      column(({ windowMs }) => windowMs),
      column(({ kind }) => kind),
      removed,
    ] as const
    this.tick()
    try {
      if (this.fleet === undefined) return await this.native.amend(...rows)
      const were = this.native.named(removed)
      await this.native.amendFleet(...rows, this.fleet.rollout.proposer)
      return were
    } catch (error) {
      const { code } = error as { code?: unknown }
      // What the fleet refuses has no code of the addon's.
      throw code === 'GenericFailure' && this.fleet !== undefined
        ? refusedBy(error, null)
        : translated(error, 'quota', 'this quota')
    }
  }

  /** What the policy in force grants tenants that it does not grant something of their own, whoever put it in force. */
  grants(): Grants {
    return grantsOf(this.spec())
  }

  /** Is it a policy of this definition that is in force, whoever its tenants are? */
  isInForce(definition: PolicySpec): boolean {
    return this.native.spec() === JSON.stringify(definition)
  }

  /**
   * Replaces the policy; resolves, once it is in force, to whether it is another one. One that `refreshes` tenants does not
   * replace one that says something else: that was put in force in between, by another limiter of the namespace if not by this.
   */
  async replace(policy: NativeCompiledPolicy, refreshes: boolean): Promise<boolean> {
    this.tick()
    try {
      return await this.native.replace(policy, refreshes)
    } catch (error) {
      throw translated(error, 'policyDefinition', 'this policy')
    }
  }

  stats(): ReturnType<NativeGate['stats']> {
    try {
      return this.native.stats()
    } catch (error) {
      throw translated(error, 'policyDefinition', 'this policy')
    }
  }

  /** What concerns all instances of a fleet. */
  get shared(): NativeSharing {
    return this.native
  }

  /** Its part in rollouts. */
  get deployment(): NativeDeployment {
    return this.native
  }

  /** The policy in force, but for its tenants. */
  spec(): PolicySpec {
    return JSON.parse(this.native.spec()) as PolicySpec
  }

  /** Decides nothing any more, while tickets are still handed in. */
  shut(): void {
    // No limiter has this number.
    this.id = -1
  }

  close(): void {
    this.native.close()
  }

  private adjust(
    name: string,
    inquiry: Inquiry,
    demand: Demand,
    call: (said: (string | undefined)[]) => number,
  ): number {
    return this.asked(inquiry, demand, (said) => call([name, ...said]))
  }

  /** Asks by the policy that has been read, and if that is not the one in force any more, reads and asks again. */
  private asked(
    inquiry: Inquiry,
    demand: Demand,
    ask: (said: readonly (string | undefined)[]) => number,
  ): number {
    let outcome: number
    do {
      const { needs } = this
      const said = needs.plain ? [] : answers(inquiry, needs)
      this.prepare(inquiry, demand, needs)
      outcome = ask(said)
    } while (this.isStale(outcome))
    return outcome
  }

  /**
   * Leaves what is asked in the answer, by the policy that `needs` is of. Callbacks of the service have been called before, or
   * are called first: what they ask themselves passes through the same array, and may find another policy.
   */
  private prepare(inquiry: Inquiry, demand: Demand, needs: NativeNeeds): void {
    const method = needs.method ? inquiry.method() : 0
    this.tick()
    this.byRules = true
    openRecord(needs.rules.length + 1)
    answer[Slot.limiter] = this.id
    answer[Slot.generation] = needs.generation
    answer[Slot.method] = method
    answer[Slot.asked] =
      (demand.anonymous === true ? Asked.anonymous : 0) +
      (demand.ruleAlone === true ? Asked.ruleAlone : 0) +
      (demand.ticket === true ? Asked.ticket : 0) +
      (demand.lastWord === true ? Asked.lastWord : 0)
    answer[Slot.rule] = demand.rule === undefined ? -1 : this.ruleNumber(demand.rule)
  }

  /** Was it asked by a policy that is not in force any more? Then what it needs is read again. */
  private isStale(outcome: number): boolean {
    if (outcome !== Outcome.stale) return false
    this.read()
    return true
  }

  private read(): void {
    this.tick()
    this.needs = this.native.needs()
    this.numbers = new Map()
  }

  private ruleNumber(name: string): number {
    let number = this.numbers.get(name)
    if (number === undefined) {
      number = this.native.ruleAsked(name)
      this.numbers.set(name, number)
    }
    return number
  }

  /** Leaves the time: this limiter's own, or the system's. */
  private tick(): void {
    answer[Slot.now] = this.clock === undefined ? NaN : this.clock()
  }
}

function ruled(outcome: number, tenant: string | undefined, rule: string, record: LimitsRecord): Ruled {
  return new Ruled(
    isAllowed(outcome),
    tenant,
    rule,
    answer[Slot.capacity]!,
    answer[Slot.remaining]!,
    answer[Slot.resetMs]!,
    answer[Slot.retryAfterMs]!,
    reasonOf(outcome),
    record,
  )
}

/** Calls with a cost other than the 1 that lies in the answer between calls; false if it is not even a number. */
function atCost(call: (name: string) => void, name: string, cost: number): boolean {
  // The array would turn '5' into 5 and null into 0.
  if (typeof cost !== 'number') return false
  answer[Slot.cost] = cost
  try {
    call(name)
    return true
  } finally {
    answer[Slot.cost] = 1
  }
}
