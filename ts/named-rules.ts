/** Which rules routes name: under a policy without one of them, their requests would be held to less than the route says. */

import { TollgateConfigError } from './errors.ts'
import type { PolicySpec } from './policy-spec.ts'
import { printed } from './printed.ts'
import type { Middleware } from './types.ts'

export class NamedRules {
  /** Handlers that name a rule, by its name. */
  private readonly counts = new Map<string, number>()
  /** A handler that nothing holds any more is mounted nowhere. */
  private readonly unmounted = new FinalizationRegistry<string>((rule) => this.count(rule, -1))

  add(rule: string, handler: Middleware): void {
    this.count(rule, 1)
    this.unmounted.register(handler, rule)
  }

  /** @throws {@link TollgateConfigError} if a policy has not the rules that are named. */
  check({ rules }: Pick<PolicySpec, 'rules'>): void {
    const missing = [...this.counts].filter(([name]) => !rules.some((rule) => rule.name === name))
    if (missing.length === 0) return
    const issues = missing.map(([name, count]) => ({
      path: 'policyDefinition.rules',
      given: `no rule ${printed(name)}`,
      accepted: 'rules with all names that routes name',
      hint: `middleware({ rule: ${printed(name)} }) is mounted${count === 1 ? '' : ` ${count} times`}`,
    }))
    throw new TollgateConfigError(issues)
  }

  private count(rule: string, more: number): void {
    const count = (this.counts.get(rule) ?? 0) + more
    if (count > 0) this.counts.set(rule, count)
    else this.counts.delete(rule)
  }
}
