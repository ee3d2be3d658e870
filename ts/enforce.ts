/** From options to a policy in force: check, compile, open. Nothing starts half-configured. */

import { EventEmitter } from 'node:events'
import type { MountMark } from './app-mark.ts'
import { AppSight } from './app-sight.ts'
import { clientReader } from './client-ip.ts'
import { TollgateConfigError, TollgateInputError } from './errors.ts'
import { Gate } from './gate.ts'
import { Fleet } from './fleet.ts'
import { PolicyLimiter } from './limiter.ts'
import { mount, type RequestReading } from './middleware.ts'
import type { AlertEvent, Limiter } from './limiter-types.ts'
import { policyFaults } from './native.ts'
import {
  resolveMiddlewareOptions,
  resolveOptions,
  type MiddlewareSettings,
  type Settings,
} from './options.ts'
import { NamedRules } from './named-rules.ts'
import { PolicyChanges } from './policy-changes.ts'
import { PolicySource } from './policy-source.ts'
import { printed } from './printed.ts'
import { Rollouts } from './rollouts.ts'
import { tenantResolver } from './tenant-strategy.ts'
import type { KeyReader, MiddlewareOptions, RateLimitPolicyOptions } from './types.ts'
import { userOf } from './user.ts'

/**
 * Puts a policy in force. Without options: 100 requests a minute, and a burst of 20, for each tenant that the header
 * `x-tenant-id` names. With `backends`, for the whole fleet; it resolves whether they can be reached or not, and there is an
 * alert if one cannot.
 *
 * @throws {@link TollgateConfigError} (as a rejection) naming every option at fault, what was given and what is
 * accepted; {@link TollgateError} `TOLLGATE_ADDON_MISSING` if there is no addon for this machine.
 * @example
 * import express from 'express'
 * import { enforceRateLimitPolicy } from 'tollgate'
 *
 * const limiter = await enforceRateLimitPolicy({
 *   policyDefinition: { defaultQuota: 100, window: '1m', tenantOverrides: { acme: 1000, trial: { quota: 10, burst: 0 } } },
 * })
 * express().use(limiter.middleware()).listen(3000)
 */
export async function enforceRateLimitPolicy(options: RateLimitPolicyOptions = {}): Promise<Limiter> {
  const settings = await resolveOptions(options, policyFaults)
  const source = new PolicySource(settings)
  const refreshes = settings.tenantRefresh !== undefined
  const gate = new Gate(await source.compile(settings), { ...settings, refreshes })
  const events = new EventEmitter()
  const fleet = settings.fleet && new Fleet(gate, settings.fleet, events)
  const named = new NamedRules()
  const apps = new AppSight({ addresses: keptByAddress(settings) })
  const clients = clientReader(settings.clientIp, settings.ipv6Subnet)
  const reading: RequestReading = {
    ...clients,
    readers: new Map<string, KeyReader>([['user', userOf], ...settings.keys]),
    resolveTenant: tenantResolver(settings.tenantResolutionStrategy, clients.clientKey),
    rejectMissing: settings.missingTenant === 'reject',
    look: apps.looker,
    alert: (option, error) => {
      events.emit('alert', { kind: 'callback-failed', option, error } satisfies AlertEvent)
    },
    ruleMissing: (rule) => {
      const error = new TollgateInputError('TOLLGATE_UNKNOWN_RULE', `the policy in force has no rule ${rule}`)
      events.emit('alert', { kind: 'rule-missing', option: 'middleware.rule', error } satisfies AlertEvent)
    },
  }
  try {
    await fleet?.join()
  } catch (error) {
    gate.close()
    throw error
  }
  const changes = new PolicyChanges(gate, source, named, events)
  return new PolicyLimiter(
    gate,
    fleet,
    (given) => {
      const mounted = resolveMount(given, gate)
      const handler = mount(gate, reading, mounted, fleet?.waiting)
      if (mounted.rule !== undefined) named.add(mounted.rule, handler)
      apps.mounted(handler, mounted.rule)
      return handler
    },
    events,
    changes,
    reading,
    (open) => new Rollouts({ gate, changes, fleet, events, defaults: settings, apps, open }),
  )
}

/** What Express's `trust proxy` decides on: nothing, where the service reads addresses by itself. */
function keptByAddress(settings: Settings): MountMark['addresses'] {
  const { clientIp, missingTenant, tenantResolutionStrategy: strategy } = settings
  if (clientIp !== undefined) return 'nothing'
  if (typeof strategy === 'object' && strategy.strategy === 'ip') return 'tenants'
  return missingTenant === 'anonymous' ? 'anonymous' : 'nothing'
}

/** @throws {@link TollgateConfigError} with every fault found, an unknown rule among them. */
function resolveMount(options: MiddlewareOptions | undefined, gate: Gate): MiddlewareSettings {
  const settings = resolveMiddlewareOptions(options ?? {})
  if (settings.rule !== undefined && !gate.hasRule(settings.rule)) {
    const accepted = 'the name of a rule of the policy in force'
    throw new TollgateConfigError([{ path: 'middleware.rule', given: printed(settings.rule), accepted }])
  }
  return settings
}
