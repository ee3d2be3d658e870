/** The client's address as a key: one spelling for each client, and one key for each IPv6 subnet. */

import { isIPv4, isIPv6 } from 'node:net'
import ipaddr from 'ipaddr.js'
import { TollgateInputError } from './errors.ts'
import { printed } from './printed.ts'
import type { HttpRequest } from './types.ts'

/** The key that clients share whose address cannot be read. */
export const UNKNOWN_ADDRESS = 'unknown'

const MAPPED = '::ffff:'
// Some proxies hand on the port: 203.0.113.7:51234, or [2001:db8::1]:443.
const WITH_PORT = /^(?:([\d.]{7,15}):\d{1,5}|\[([\da-fA-F:.]{2,45})\](?::\d{1,5})?)$/

/** An address without the port that came with it. */
export function bareAddress(address: string | undefined): string | undefined {
  if (address === undefined || isIPv4(address) || isIPv6(address)) return address
  const [, ipv4, ipv6] = WITH_PORT.exec(address) ?? []
  return ipv4 ?? ipv6 ?? address
}

/** An address as a key: IPv4 (also IPv4-mapped) as it is, IPv6 as its subnet. */
export function addressKey(given: string | undefined, ipv6Subnet: number): string {
  const address = bareAddress(given)
  if (address === undefined) return UNKNOWN_ADDRESS
  if (isIPv4(address)) return address
  if (address.startsWith(MAPPED)) {
    const inner = address.slice(MAPPED.length)
    if (isIPv4(inner)) return inner
  }
  return isIPv6(address) ? subnetKey(address, ipv6Subnet) : UNKNOWN_ADDRESS
}

function subnetKey(address: string, bits: number): string {
  // A zone (fe80::1%eth0) names the server's interface, not the client.
  const [bare = ''] = address.split('%', 1)
  const parsed = ipaddr.IPv6.parse(bare)
  if (parsed.isIPv4MappedAddress()) return parsed.toIPv4Address().toString()
  return `${ipaddr.IPv6.networkAddressFromCIDR(`${bare}/${bits}`).toRFC5952String()}/${bits}`
}

/** Reads a request's client. */
export interface ClientReader {
  /** Without a port. */
  clientAddress: (req: HttpRequest) => string | undefined
  /** The same as a key. */
  clientKey: (req: HttpRequest) => string
  /** Any address as a key. */
  addressKey: (address: string | undefined) => string
}

export function clientReader(
  clientIp: ((req: HttpRequest) => string | undefined) | undefined,
  ipv6Subnet: number,
): ClientReader {
  const given = clientIp === undefined ? fromSocket : checked(clientIp)
  const clientAddress = (req: HttpRequest): string | undefined => bareAddress(given(req))
  return {
    clientAddress,
    clientKey: (req) => addressKey(clientAddress(req), ipv6Subnet),
    addressKey: (address) => addressKey(address, ipv6Subnet),
  }
}

function fromSocket(req: HttpRequest): string | undefined {
  return req.ip ?? req.socket?.remoteAddress
}

/** Asks once for each request, however many limits and lists want to know: a lookup may be dear, or have effects. */
function checked(clientIp: (req: HttpRequest) => string | undefined): typeof fromSocket {
  const known = new WeakMap<HttpRequest, { address: string | undefined }>()
  const read = (req: HttpRequest): string | undefined => {
    const address: unknown = clientIp(req)
    if (address !== undefined && address !== null && typeof address !== 'string') {
      throw new TollgateInputError(
        'TOLLGATE_INVALID_TENANT',
        `clientIp returned ${printed(address)}; accepted: an address as a string, or undefined`,
      )
    }
    return address ?? undefined
  }
  return (req) => {
    let client = known.get(req)
    if (client === undefined) {
      client = { address: read(req) }
      known.set(req, client)
    }
    return client.address
  }
}
