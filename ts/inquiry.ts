/** What a decision by rules asks of a request, and how it is answered: from HTTP, or from what the service says itself. */

import { bareAddress } from './client-ip.ts'
import { TollgateInputError } from './errors.ts'
import { addon, type NativeNeeds } from './native.ts'
import { printed } from './printed.ts'
import type { RequestFacts } from './limiter-types.ts'
import type { HttpRequest, KeyReader } from './types.ts'

/** Answers of one request. */
export interface Inquiry {
  /** The code of the method. */
  method(): number
  /** What comes after the method in the request's first line, mount points included. */
  target(): string | undefined
  /** The client's address, for lists. */
  address(): string | undefined
  /** The client's address, for keys: one for each client. */
  addressKey(): string | undefined
  /** A key that rules are kept per. */
  key(name: string): string | undefined
}

/** A request of which nothing is known. */
export const NOTHING: Inquiry = {
  method: () => OTHER,
  target: () => undefined,
  address: () => undefined,
  addressKey: () => undefined,
  key: () => undefined,
}

/** Of a method that no rule can name. */
const OTHER = 31

let codes: ReadonlyMap<string, number> | undefined

function methodCode(method: string | undefined): number {
  codes ??= new Map(
    addon()
      .PolicyDraft.methodNames()
      .map((name, code) => [name, code]),
  )
  return method === undefined ? OTHER : (codes.get(method) ?? codes.get(method.toUpperCase()) ?? OTHER)
}

/** How requests of one limiter are read. */
export interface Reading {
  /** By name; `user` among them. */
  readers: ReadonlyMap<string, KeyReader>
  clientKey: (req: HttpRequest) => string
  clientAddress: (req: HttpRequest) => string | undefined
  /** An address as a key. */
  addressKey: (address: string | undefined) => string
}

/** What an HTTP request answers. */
export class HttpInquiry implements Inquiry {
  private client: string | undefined
  private clientIsRead = false

  constructor(
    private readonly req: HttpRequest,
    private readonly reading: Reading,
  ) {}

  method(): number {
    return methodCode(this.req.method)
  }

  target(): string | undefined {
    const { baseUrl, url, originalUrl } = this.req
    if (baseUrl === undefined || baseUrl === '') return url
    // A router has taken its mount point off; of a whole URL, from between host and path.
    return url?.startsWith('/') === true ? baseUrl + url : originalUrl
  }

  address(): string | undefined {
    if (!this.clientIsRead) {
      this.client = this.reading.clientAddress(this.req)
      this.clientIsRead = true
    }
    return this.client
  }

  addressKey(): string {
    return this.reading.addressKey(this.address())
  }

  key(name: string): string | undefined {
    return asKey(name, this.reading.readers.get(name)?.(this.req))
  }
}

/** Of a request that may have to be decided several times: what the service reads from it, it reads once. */
export class KeptInquiry extends HttpInquiry {
  private readonly keys = new Map<string, string | undefined>()

  override key(name: string): string | undefined {
    if (!this.keys.has(name)) this.keys.set(name, super.key(name))
    return this.keys.get(name)
  }
}

/** What the service itself says of a request. */
export class SaidInquiry implements Inquiry {
  constructor(
    private readonly facts: RequestFacts,
    private readonly reading: Reading,
  ) {}

  method(): number {
    return methodCode(this.facts.method)
  }

  target(): string | undefined {
    return this.facts.path
  }

  address(): string | undefined {
    return bareAddress(this.facts.ip)
  }

  addressKey(): string | undefined {
    return this.facts.ip === undefined ? undefined : this.reading.addressKey(this.facts.ip)
  }

  key(name: string): string | undefined {
    const { user, keys } = this.facts
    return asKey(name, name === 'user' ? (user ?? keys?.[name]) : keys?.[name])
  }
}

/** A key as a string; a header that came several times is all of its values. */
function asKey(name: string, value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value === 'string') return value
  if (typeof value === 'number') return String(value)
  if (Array.isArray(value) && value.every((part) => typeof part === 'string')) return value.join(', ')
  throw new TollgateInputError(
    'TOLLGATE_INVALID_KEY',
    `keys.${name} returned ${printed(value)}; accepted: a string, a number, or undefined for a request without it`,
  )
}

/** What the addon is given after the name, in its order: as far as the policy needs it, or one that is compared with it. */
export function answers(inquiry: Inquiry, needs: NativeNeeds): (string | undefined)[] {
  const said = [
    needs.path ? inquiry.target() : undefined,
    needs.address ? inquiry.address() : undefined,
    needs.address ? inquiry.addressKey() : undefined,
    needs.user ? (needs.ownUser ? inquiry.key('user') : keyOrNone(inquiry, 'user')) : undefined,
  ]
  for (const [index, name] of needs.keys.entries()) {
    said.push(index < needs.ownKeys ? inquiry.key(name) : keyOrNone(inquiry, name))
  }
  return said
}

/** A key that only the policy needs that is not in force: where it cannot be read, no request fails. */
function keyOrNone(inquiry: Inquiry, name: string): string | undefined {
  try {
    return inquiry.key(name)
  } catch {
    return undefined
  }
}
