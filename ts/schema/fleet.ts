/** The shape of the options of a fleet. Their defaults are in fleet-settings.ts, because there are none without backends. */

import * as v from 'valibot'
import { oneOf, shortDuration, whole } from './value.ts'

const BACKENDS = 'an array of at most 8 URLs or host names'
const BACKEND = "a URL or a host name, such as 'redis://redis-1:6379' or 'redis-1'"

export const fleetEntries = {
  backends: v.optional(
    v.pipe(
      v.array(v.pipe(v.string(BACKEND), v.nonEmpty(BACKEND)), BACKENDS),
      v.maxLength(8, BACKENDS),
      v.checkItems((backend, index, all) => all.indexOf(backend) === index, 'each backend once'),
    ),
    [],
  ),
  syncInterval: v.optional(shortDuration(10, 10_000, "a time from 10 ms to 10 s, such as '100ms'")),
  maxWait: v.optional(shortDuration(0, 10_000, "a time from 0 to 10 s, such as '50ms'")),
  leaseTtl: v.optional(shortDuration(200, 60_000, "a time from 200 ms to 60 s, such as '2s'")),
  coldStart: v.optional(oneOf(['wait', 'credit'])),
  credit: v.optional(whole(1, 1_000_000)),
  onBackendFailure: v.optional(oneOf(['local', 'allow', 'deny'])),
  backendTimeout: v.optional(shortDuration(50, 10_000, "a time from 50 ms to 10 s, such as '500ms'")),
}
