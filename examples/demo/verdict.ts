/** Was every tenant held to its quota, and did it get what it is granted? */

import type { Count } from './traffic.ts'

/** The part of its bound that a tenant must get, if it asks for that much. */
const LEAST = 0.97

export interface Verdict {
  count: Count
  /** What a token bucket admits at most: quota + burst + quota x time. */
  bound: number
  /** Admitted, as a part of what was granted and asked for. */
  share: number
  passed: boolean
}

export function judge(count: Count): Verdict {
  const { quota, burst } = count.tenant
  const bound = quota === 0 ? 0 : Math.floor(quota + burst + quota * count.seconds)
  // What is refilled while the last answers are under way cannot be asked for any more.
  const granted = Math.min(bound, quota + burst + quota * count.asking, count.sent)
  const share = bound === 0 ? 1 : count.admitted / granted
  const passed = count.failed === 0 && count.sent > 0 && count.admitted <= bound && share >= LEAST
  return { count, bound, share, passed }
}
