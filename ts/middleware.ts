/**
 * The way of a request: skip? -> tenant -> cost -> decision -> headers -> on, or an answer.
 *
 * Options are folded once, when it is mounted. Where every callback is synchronous, and no lease has to be waited for, so is the
 * whole way: no promise is made.
 */

import type { ServerResponse } from 'node:http'
import { isOver, judgeRefund, whenDone, type RefundRule } from './completion.ts'
import { TollgateInputError } from './errors.ts'
import type { Demand, Gate } from './gate.ts'
import { headerWriter, writeRetryAfter } from './headers.ts'
import { HttpInquiry, KeptInquiry, type Reading } from './inquiry.ts'
import { Outcome } from './native.ts'
import type { MiddlewareSettings } from './options.ts'
import { printed } from './printed.ts'
import { followed, isPromise } from './promise.ts'
import { beyondQuota, quotaRefusals, send, TENANT_MISSING, type Refusal } from './refusal.ts'
import * as admissions from './admissions.ts'
import { leaveDecision } from './request-decision.ts'
import type { Decision, HttpRequest, Middleware, Next, TenantResolver } from './types.ts'
import type { Waiting } from './waiting.ts'

/** What all mounts of a limiter share. */
export interface RequestReading extends Reading {
  resolveTenant: TenantResolver
  rejectMissing: boolean
  /** Takes the errors of callbacks that no request can carry. */
  alert: (option: string, error: unknown) => void
  /** Gives what looks at the first requests of a mount: see app-sight.ts. */
  look: () => (req: HttpRequest) => void
  /** Takes the name of a rule that a route names and the policy has not. */
  ruleMissing: (rule: string) => void
}

/** In place of an outcome: the request has been charged by this route's rule before. */
const CHARGED_BEFORE = Number.MIN_SAFE_INTEGER

/** How long what was charged may wait to be judged; then it stays charged. */
const LONGEST_JUDGEMENT_MS = 5 * 60 * 1000

/** Is the request admitted? If not, it is answered. */
type Admission = boolean | Promise<boolean>

/** A request handler with its options folded in. `waiting`: where leases are waited for, if there are any. */
export function mount(
  gate: Gate,
  reading: RequestReading,
  settings: MiddlewareSettings,
  waiting: Waiting | undefined,
): Middleware {
  const { skip, cost, rule, onLimited, statusCode } = settings
  const { rejectMissing } = reading
  if (rule !== undefined) admissions.remember(gate)
  const resolveTenant = settings.tenant ?? reading.resolveTenant
  const look = reading.look()
  const writeHeaders = headerWriter(settings.headers)
  const quotaRefusal = quotaRefusals(statusCode)
  const requestWasSuccessful = settings.requestWasSuccessful ?? successful
  const refunds: RefundRule = {
    successful: settings.skipSuccessfulRequests,
    failed: settings.skipFailedRequests,
  }
  const refunding = refunds.successful || refunds.failed
  let isMissing = false
  const tenantDemand = rule === undefined && !refunding ? undefined : { rule, ticket: refunding }
  const anonymousDemand = { rule, ticket: refunding, anonymous: true }

  function admit(req: HttpRequest, res: ServerResponse, next: Next | undefined): Admission {
    if (skip === undefined) return identify(req, res, next)
    return followed(skip(req), (skipped) => (skipped ? true : identify(req, res, next)))
  }

  function identify(req: HttpRequest, res: ServerResponse, next: Next | undefined): Admission {
    const tenant = resolveTenant(req)
    if (isPromise(tenant)) return tenant.then((name) => price(req, res, next, name))
    return price(req, res, next, tenant)
  }

  function price(req: HttpRequest, res: ServerResponse, next: Next | undefined, tenant: unknown): Admission {
    if (tenant !== undefined && tenant !== null && typeof tenant !== 'string') throw notATenant(tenant)
    if (typeof cost === 'number') return charge(req, res, next, tenant, cost)
    return followed(cost(req), (tokens) => charge(req, res, next, tenant, tokens))
  }

  function charge(
    req: HttpRequest,
    res: ServerResponse,
    next: Next | undefined,
    tenant: string | null | undefined,
    tokens: number,
  ): Admission {
    const inquiry = waiting === undefined ? new HttpInquiry(req, reading) : new KeptInquiry(req, reading)
    let key = tenant ?? ''
    let outcome: number = key === '' ? Outcome.invalidTenant : asked(req, key, false, tokens, inquiry, false)
    // What cannot name a tenant never reaches a tenant's bucket.
    const anonymous = outcome === Outcome.invalidTenant
    if (anonymous) {
      if (rejectMissing) {
        send(res, TENANT_MISSING)
        return false
      }
      key = inquiry.addressKey()
      outcome = asked(req, key, true, tokens, inquiry, false)
    }
    if (outcome === Outcome.pending && waiting !== undefined) {
      return park(req, res, next, key, anonymous, tokens, inquiry, waiting)
    }
    return conclude(req, res, next, key, anonymous, tokens, outcome)
  }

  /** Goes on when there is a lease, or it has been waited for long enough. By itself, for what a closure costs. */
  function park(
    req: HttpRequest,
    res: ServerResponse,
    next: Next | undefined,
    key: string,
    anonymous: boolean,
    tokens: number,
    inquiry: HttpInquiry,
    where: Waiting,
  ): Promise<boolean> {
    return where.until<boolean>(gate.lastAwaited(), (isLast) => {
      // Nobody is there any more who could use what would be charged.
      if (isOver(res)) return false
      const outcome = asked(req, key, anonymous, tokens, inquiry, isLast)
      if (outcome === Outcome.pending && !isLast) return undefined
      return conclude(req, res, next, key, anonymous, tokens, outcome)
    })
  }

  /** Answers a request by what was decided, or lets it go on. */
  function conclude(
    req: HttpRequest,
    res: ServerResponse,
    next: Next | undefined,
    key: string,
    anonymous: boolean,
    tokens: number,
    outcome: number,
  ): Admission {
    if (outcome === CHARGED_BEFORE) return true
    if (outcome < 0) throw gate.failure(outcome, key, tokens)
    const ticket = gate.lastTicket()
    const decision = gate.decision(outcome, anonymous ? undefined : key)
    const limits = gate.lastLimits()
    const { comparison } = gate
    if (comparison !== 0) {
      // A refusal is no error of the service, whatever status it is given.
      whenDone(res, () => gate.ended(comparison, decision.allowed && res.statusCode >= 500))
    }
    // Before anything else that may throw: what was charged comes back in any case.
    if (ticket !== 0) whenDone(res, (sent) => handIn(req, res, ticket, sent))
    leaveDecision(req, decision)
    const refusal = beyondQuota(outcome)
    // Of limits that did not apply, or of which nothing is known, there is nothing to say.
    if (writeHeaders !== undefined && refusal === undefined && !res.headersSent) {
      writeHeaders(res, decision, limits, key, chargedBefore(req, key, anonymous))
    }
    const admitted = (): void => admissions.add(req, gate, key, anonymous, decision)
    if (!decision.allowed) return refuse(req, res, next, decision, refusal, admitted)
    admitted()
    return true
  }

  /** Charges what has not been charged before; gives an outcome, or {@link CHARGED_BEFORE}. */
  function asked(
    req: HttpRequest,
    name: string,
    anonymous: boolean,
    tokens: number,
    inquiry: HttpInquiry,
    isLast: boolean,
  ): number {
    const usual = anonymous ? anonymousDemand : tenantDemand
    const demand = isLast ? { ...usual, lastWord: true } : usual
    if (rule === undefined) return charged(name, tokens, inquiry, demand)
    const called = gate.calledRule(rule)
    noteMissing(rule, called === undefined)
    const before = admissions.of(req, gate, name, anonymous)
    if (before === undefined) return charged(name, tokens, inquiry, demand)
    if (called === undefined || admissions.chargedBy(before, called)) return CHARGED_BEFORE
    return charged(name, tokens, inquiry, { ...demand, ruleAlone: true })
  }

  /** Charges a request. Where two policies are compared, that the limiter fails on it counts against the one in force. */
  function charged(name: string, tokens: number, inquiry: HttpInquiry, demand: Demand | undefined): number {
    try {
      return gate.charge(name, tokens, inquiry, demand)
    } catch (error) {
      gate.failed()
      throw error
    }
  }

  function chargedBefore(req: HttpRequest, name: string, anonymous: boolean): boolean {
    return rule !== undefined && admissions.of(req, gate, name, anonymous) !== undefined
  }

  /** Tells once that the policy has become one without the rule that this route names, and again after it had it. */
  function noteMissing(name: string, missing: boolean): void {
    if (missing && !isMissing) reading.ruleMissing(name)
    isMissing = missing
  }

  /** The request has ended. */
  function handIn(req: HttpRequest, res: ServerResponse, ticket: number, sent: boolean): void {
    if (!refunding) return void gate.end(ticket)
    // Slots do not wait for a judgement, which may take its time, or never come.
    gate.release(ticket)
    gate.expire(ticket, LONGEST_JUDGEMENT_MS)
    judgeRefund(
      sent,
      refunds,
      () => requestWasSuccessful(req, res),
      (refund) => void (refund ? gate.cancel(ticket) : gate.end(ticket)),
      (error) => reading.alert('requestWasSuccessful', error),
    )
  }

  function refuse(
    req: HttpRequest,
    res: ServerResponse,
    next: Next | undefined,
    decision: Decision,
    refusal: Refusal | undefined,
    admitted: () => void,
  ): Admission {
    if (!res.headersSent) {
      res.statusCode = refusal?.status ?? statusCode
      writeRetryAfter(res, decision)
    }
    if (onLimited !== undefined) return answered(req, res, next, decision, admitted)
    send(res, refusal ?? quotaRefusal(decision))
    return false
  }

  /** The service's own answer. Its `next()` is the framework's; without one, it makes the request an admitted one. */
  function answered(
    req: HttpRequest,
    res: ServerResponse,
    next: Next | undefined,
    decision: Decision,
    admitted: () => void,
  ): Admission {
    let passed = false
    const pass: Next = (error) => {
      if (error !== undefined && error !== null) throw error
      passed = true
    }
    const goOn: Next = (error) => {
      if (error === undefined || error === null) admitted()
      return (next ?? pass)(error)
    }
    return followed(onLimited?.(req, res, goOn, decision), () => passed)
  }

  function rateLimit(req: HttpRequest, res: ServerResponse, next: Next): void
  function rateLimit(req: HttpRequest, res: ServerResponse): Admission
  function rateLimit(req: HttpRequest, res: ServerResponse, next?: Next): Admission | void {
    look(req)
    if (next === undefined) return admit(req, res, undefined)
    let admission: Admission
    try {
      admission = admit(req, res, next)
    } catch (error) {
      return next(error)
    }
    if (admission === true) next()
    else if (admission !== false) admission.then((admitted) => (admitted ? next() : undefined), next)
  }
  return rateLimit
}

function successful(_req: HttpRequest, res: ServerResponse): boolean {
  return res.statusCode < 400
}

function notATenant(given: unknown): TollgateInputError {
  return new TollgateInputError(
    'TOLLGATE_INVALID_TENANT',
    `the tenant resolver returned ${printed(given)}; accepted: a string, or undefined for a request without a tenant`,
  )
}
