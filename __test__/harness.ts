/** What tests stand on: a clock that only they advance, and servers on loopback that close themselves. */

import { once } from 'node:events'
import { createServer, request, type IncomingHttpHeaders, type RequestListener } from 'node:http'
import { connect, type AddressInfo } from 'node:net'

/** A clock that stands still until it is advanced, in milliseconds. */
export function fakeClock(start = 1_000): { now: () => number; advance: (time: number) => void } {
  let time = start
  return { now: () => time, advance: (by) => void (time += by) }
}

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: string
  json(): unknown
}

export interface Served extends AsyncDisposable {
  port: number
  get(path?: string, headers?: Record<string, string | string[]>, method?: string): Promise<Answer>
  /** Writes bytes to a socket; gives everything that comes back until the server hangs up. */
  raw(bytes: string | Buffer): Promise<string>
}

/** Serves on a free port of loopback. */
export async function listen(listener: RequestListener): Promise<Served> {
  const server = createServer(listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    port,
    get: (path = '/', headers = {}, method = 'GET') => fetched(port, path, headers, method),
    raw: (bytes) => exchanged(port, bytes),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  }
}

function fetched(
  port: number,
  path: string,
  headers: Record<string, string | string[]>,
  method: string,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const req = request({ host: '127.0.0.1', port, path, headers, method, agent: false }, (res) => {
      const chunks: Buffer[] = []
      res.on('data', (chunk: Buffer) => chunks.push(chunk))
      res.on('error', reject)
      res.on('end', () => {
        const body = Buffer.concat(chunks).toString()
        const json = (): unknown => JSON.parse(body)
        resolve({ status: res.statusCode ?? 0, headers: res.headers, body, json })
      })
    })
    req.on('error', reject)
    req.end()
  })
}

async function exchanged(port: number, bytes: string | Buffer): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  // A server that refuses a header hangs up while it is still being sent.
  socket.on('error', () => undefined)
  socket.end(bytes)
  await once(socket, 'close')
  return Buffer.concat(chunks).toString('latin1')
}
