/** Ports of loopback that are free. */

import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * Below what systems give to outgoing connections (Linux from 32,768 on), and so is the port of a cluster's bus, 10,000 above.
 * A client that keeps calling a dead server would now and then be given that server's own port, connect to itself, and keep
 * the server from coming back; port 0 gives just those.
 */
const [LOWEST, HIGHEST] = [11_000, 22_000]
const BUS = 10_000

const taken = new Set<number>()

/** A port that nobody listens on and that this process has not given out, and whose bus port is free as well. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST))
    if (taken.has(port)) continue
    taken.add(port)
    if ((await isFree(port)) && (await isFree(port + BUS))) return port
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  try {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
  } catch {
    return false
  }
  await new Promise((done) => server.close(done))
  return true
}
