/** From options to a policy in force: check, compile, open. Nothing starts half-configured. */

import { EventEmitter } from 'node:events'
import { clientKeyReader } from './client-ip.ts'
import { Gate } from './gate.ts'
import { InProcessLimiter } from './limiter.ts'
import { mount, type RequestReading } from './middleware.ts'
import { addon, type NativePolicyDraft } from './native.ts'
import { resolveMiddlewareOptions, resolveOptions } from './options.ts'
import { refreshing } from './tenant-refresh.ts'
import { tenantResolver } from './tenant-strategy.ts'
import { addTenants } from './tenants.ts'
import type { AlertEvent, Limiter, RateLimitPolicyOptions } from './types.ts'

/**
 * Puts a policy in force. Without options: 100 requests a minute, and a burst of 20, for each tenant that the header
 * `x-tenant-id` names.
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
  const settings = resolveOptions(options)
  const { grant, tenantOverrides, tenantRefresh } = settings
  const load = async (): Promise<NativePolicyDraft> => {
    const rejectUnknown = settings.unknownTenant === 'reject'
    const draft = new (addon().PolicyDraft)(grant.quota, grant.burst, grant.windowMs, rejectUnknown)
    await addTenants(draft, tenantOverrides, grant)
    return draft
  }
  const gate = new Gate(await load(), { ...settings, refreshes: tenantRefresh !== undefined })
  const events = new EventEmitter()
  const clientKey = clientKeyReader(settings.clientIp, settings.ipv6Subnet)
  const reading: RequestReading = {
    resolveTenant: tenantResolver(settings.tenantResolutionStrategy, clientKey),
    clientKey,
    rejectMissing: settings.missingTenant === 'reject',
    alert: (option, error) => {
      events.emit('alert', { kind: 'callback-failed', option, error } satisfies AlertEvent)
    },
  }
  const limiter = new InProcessLimiter(
    gate,
    (given) => mount(gate, reading, resolveMiddlewareOptions(given ?? {})),
    events,
    grant,
  )
  if (tenantRefresh !== undefined) {
    const reload = async (): Promise<void> => limiter.replacePolicy(await load())
    limiter.beforeClose = refreshing(tenantRefresh, reload, (error) => {
      const option = 'policyDefinition.tenantOverrides'
      events.emit('alert', { kind: 'tenant-refresh-failed', option, error } satisfies AlertEvent)
    })
  }
  return limiter
}
