/** Who the user of a request is, unless the service says otherwise. */

import type { HttpRequest } from './types.ts'

/** What an earlier middleware has verified: `req.user.id`, `req.user.sub` or `req.auth.sub`. */
export function userOf({ user, auth }: HttpRequest): string | undefined {
  return claim(user, 'id') ?? claim(user, 'sub') ?? claim(auth, 'sub')
}

/** An own property: `constructor` is nobody. */
function claim(verified: unknown, name: string): string | undefined {
  if (typeof verified !== 'object' || verified === null || !Object.hasOwn(verified, name)) return undefined
  const value = (verified as Record<string, unknown>)[name]
  return typeof value === 'string' || Number.isSafeInteger(value) ? String(value) : undefined
}
