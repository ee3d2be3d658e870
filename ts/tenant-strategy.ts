/** How the tenant of a request is found. Each strategy folds its settings into one function of the request. */

import { Buffer } from 'node:buffer'
import { isIPv4 } from 'node:net'
import { UNKNOWN_ADDRESS } from './client-ip.ts'
import type { Strategy } from './schema/strategy.ts'
import { LONGEST_NAME } from './tenant-name.ts'
import type { HttpRequest, TenantResolver } from './types.ts'

/**
 * A resolver for a strategy. What it gives may still not be a tenant name: the addon is the judge of that, and a
 * request whose name it refuses is one without a tenant.
 */
export function tenantResolver(
  strategy: Strategy | TenantResolver,
  clientKey: (req: HttpRequest) => string,
): TenantResolver {
  if (typeof strategy === 'function') return strategy
  switch (strategy.strategy) {
    case 'header-based':
      return byHeader(strategy.header)
    case 'api-key':
      return byApiKey(strategy.header, strategy.lookup)
    case 'subdomain':
      return bySubdomain(strategy.domain)
    case 'path':
      return byPath(strategy.segment)
    case 'ip':
      return (req) => {
        const key = clientKey(req)
        return key === UNKNOWN_ADDRESS ? undefined : key
      }
    case 'jwt-claim':
      return byClaim(strategy.claim)
  }
}

type SyncResolver = (req: HttpRequest) => string | undefined

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function byHeader(header: string, longest = LONGEST_NAME): SyncResolver {
  return (req) => {
    const value = req.headers[header]
    // Node joins a repeated header into one value; only set-cookie is an array.
    if (typeof value !== 'string' || value.length > longest) return undefined
    for (let index = 0; index < value.length; index++) {
      if (value.charCodeAt(index) > 0x7f) return decoded(value)
    }
    return value
  }
}

/** Node reads a header's bytes as Latin-1; who sent them meant UTF-8. */
function decoded(latin1: string): string | undefined {
  try {
    return strictUtf8.decode(Buffer.from(latin1, 'latin1'))
  } catch {
    return undefined
  }
}

type Lookup = (key: string) => string | null | undefined | Promise<string | null | undefined>

/** A key that is looked up may be longer than a name: signed keys are. */
const LONGEST_KEY = 8_192

function byApiKey(header: string, lookup: Lookup | undefined): TenantResolver {
  if (lookup === undefined) return byHeader(header)
  const read = byHeader(header, LONGEST_KEY)
  return (req) => {
    const key = read(req)
    return key === undefined || key === '' ? undefined : lookup(key)
  }
}

/** The longest name of DNS (RFC 1035, section 2.3.4), with room for a dot at its end and a port. */
const LONGEST_HOST = 260

function bySubdomain(domain: string | undefined): SyncResolver {
  const suffix = domain === undefined ? undefined : `.${domain}`
  return (req) => {
    const given = req.hostname ?? req.headers.host ?? req.headers[':authority']
    if (typeof given !== 'string' || given.length > LONGEST_HOST) return undefined
    const host = given.toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '')
    if (suffix === undefined) {
      const labels = host.split('.')
      return labels.length < 3 || isIPv4(host) ? undefined : labels[0]
    }
    if (!host.endsWith(suffix)) return undefined
    const labels = host.slice(0, -suffix.length)
    return labels.slice(labels.lastIndexOf('.') + 1)
  }
}

function byPath(segment: number): SyncResolver {
  return (req) => {
    const path = pathOf(req.originalUrl ?? req.url ?? '')
    let found = -1
    let start = 0
    while (start < path.length) {
      let end = path.indexOf('/', start)
      if (end === -1) end = path.length
      if (end > start && ++found === segment) return percentDecoded(path.slice(start, end))
      start = end + 1
    }
    return undefined
  }
}

function pathOf(url: string): string {
  // A request to a proxy names the whole URL (RFC 9112, section 3.2.2).
  const start = url.startsWith('/') ? 0 : Math.max(0, url.indexOf('/', url.indexOf('://') + 3))
  const end = url.slice(start).search(/[?#]/)
  return end === -1 ? url.slice(start) : url.slice(start, start + end)
}

function percentDecoded(segment: string): string | undefined {
  // Three characters for each byte, at the most.
  if (segment.length > 3 * LONGEST_NAME) return undefined
  try {
    return decodeURIComponent(segment)
  } catch {
    return undefined
  }
}

function byClaim(claim: string): SyncResolver {
  return (req) =>
    claimOf(req.auth, claim) ?? claimOf(ownValue(req.auth, 'payload'), claim) ?? claimOf(req.user, claim)
}

function claimOf(claims: unknown, claim: string): string | undefined {
  const value = ownValue(claims, claim)
  if (typeof value === 'string') return value
  return Number.isSafeInteger(value) ? String(value) : undefined
}

/** An own property: a claim named `constructor` is not what every object inherits. */
function ownValue(object: unknown, name: string): unknown {
  if (typeof object !== 'object' || object === null || !Object.hasOwn(object, name)) return undefined
  return (object as Record<string, unknown>)[name]
}
