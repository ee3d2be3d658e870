/** What a fleet of processes admits together, and what that costs Redis: Tollgate beside rate-limiter-flexible. */

import { Fleet, hammer, program } from '../__test__/fleet.ts'
import { earned, most, type Grant } from '../__test__/fleet-bound.ts'
import type { Report } from '../__test__/fleet-report.ts'
import type { Load } from '../__test__/load.ts'
import type { Ending, RedisServer } from '../__test__/redis.ts'
import type { PeerOptions } from './fleet-peer-process.ts'

const THOUSAND: Grant = { defaultQuota: 1_000, burstAllowance: 100, window: 1_000 }
const FIVE: Grant = { defaultQuota: 5, burstAllowance: 0, window: 60_000 }
/** Twice what it is asked for, so that all is admitted. */
const TEN_THOUSAND: Grant = { defaultQuota: 20_000, burstAllowance: 0, window: 1_000 }

export interface Admitted {
  name: string
  admitted: number
  seconds: number
  /** What the tenant earns in that time, and the most that Tollgate's bound lets it have. */
  earned: number
  bound: number
  longestWaitMs: number
  longestStallMs: number
  /** Scripts that Redis has run, per hundred requests that were admitted. */
  scripts: number
}

export interface FleetResults {
  /** 4 processes on one tenant of 1,000 a second and a burst of 100. */
  thousand: Admitted[]
  /** 16 processes on one tenant of five a minute. */
  five: Admitted[]
  /** 4 processes on one tenant that is admitted 10,000 times a second. */
  tenThousand: Admitted[]
}

/** Takes turns on a server, so that what is counted there is one's own. */
export async function fleets(ending: Ending, redis: RedisServer): Promise<FleetResults> {
  const ours = new Fleet(ending)
  const theirs = new Fleet<PeerOptions>(ending, program(new URL('./fleet-peer-process.ts', import.meta.url)))

  function tollgate(size: number, grant: Grant, load: Load): Promise<Admitted> {
    const namespace = `benchmark-${size}-${grant.defaultQuota}`
    const options = { namespace, policyDefinition: grant, backends: [redis.url] }
    return ours.with(size, options, (instances) =>
      admitted('tollgate', redis, grant, () => hammer(instances, load)),
    )
  }

  function flexible(size: number, grant: Grant, load: Load): Promise<Admitted> {
    const [points, duration] = [grant.defaultQuota, grant.window / 1_000]
    const namespace = `flexible-${size}-${points}`
    return theirs.with(size, { url: redis.url, namespace, points, duration }, (instances) =>
      admitted('rate-limiter-flexible', redis, grant, () => hammer(instances, load)),
    )
  }

  async function both(size: number, grant: Grant, load: Partial<Load>): Promise<Admitted[]> {
    const acme: Load = { tenants: ['acme'], way: 'consume', inFlight: 4, milliseconds: 10_000, ...load }
    return [await tollgate(size, grant, acme), await flexible(size, grant, acme)]
  }

  return {
    thousand: await both(4, THOUSAND, {}),
    five: await both(16, FIVE, { inFlight: 1, milliseconds: 8_000 }),
    tenThousand: await both(4, TEN_THOUSAND, { inFlight: 32, milliseconds: 5_000, perSecond: 2_500 }),
  }
}

async function admitted(
  name: string,
  redis: RedisServer,
  grant: Grant,
  run: () => Promise<Report>,
): Promise<Admitted> {
  // What instances ask once when they start is not counted.
  await redis.cli('config', 'resetstat')
  const report = await run()
  const stats = await redis.cli('info', 'commandstats')
  const calls = [...stats.matchAll(/cmdstat_(?:eval|evalsha|fcall):calls=(\d+)/g)]
  const scripts = calls.reduce((total, [, count]) => total + Number(count), 0)
  return {
    name,
    admitted: report.admitted,
    seconds: report.seconds,
    earned: earned(grant, report.seconds),
    bound: most(grant, report.seconds),
    longestWaitMs: report.longestWait,
    longestStallMs: report.longestStall,
    scripts: (100 * scripts) / report.admitted,
  }
}
