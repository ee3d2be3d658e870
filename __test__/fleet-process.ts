/** An instance of fleet.ts: a process that opens a limiter, puts load on it and closes it, as it is told. */

import { enforceRateLimitPolicy, type RateLimitPolicyOptions } from 'tollgate'
import { obeyOrders } from './orders.ts'

obeyOrders(async (options: RateLimitPolicyOptions, alerted) => {
  const limiter = await enforceRateLimitPolicy(options)
  limiter.on('alert', ({ kind }) => alerted(kind))
  return limiter
})
