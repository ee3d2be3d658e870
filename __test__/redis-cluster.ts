/** A real Redis Cluster on loopback: three masters and a replica of each. */

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { redisServer, type Ending, type RedisServer } from './redis.ts'
import { until } from './until.ts'

const run = promisify(execFile)

/** A node counts as gone after this time without an answer, in milliseconds. Long enough for a machine that is busy. */
const NODE_TIMEOUT = 2_000

/** As long as it may take to create a cluster, in milliseconds. */
const PATIENCE = 30_000

export interface RedisCluster {
  /** All six; which of them are masters changes by a failover. */
  readonly nodes: readonly RedisServer[]
  readonly urls: string[]
  /** The nodes that hold slots now. */
  masters(): Promise<RedisServer[]>
  /** The master that holds a slot now. */
  holderOf(slot: number): Promise<RedisServer>
  /** Puts a replica in the place of a master, which stays as its replica. Gives the new master. */
  failover(master: RedisServer): Promise<RedisServer>
  /** Moves a slot and its keys, while the cluster serves. */
  moveSlot(slot: number, from: RedisServer, to: RedisServer): Promise<void>
  /** The slot of a key. */
  slotOf(key: string): Promise<number>
}

/** Starts a cluster; every node says that it is in order when this resolves. Takes some seconds. */
export async function redisCluster(ending: Ending): Promise<RedisCluster> {
  const args = ['--cluster-enabled', 'yes', '--cluster-node-timeout', String(NODE_TIMEOUT)]
  const servers = Array.from({ length: 6 }, () =>
    // By default a replica waits before it joins its master, in case that others come as well.
    redisServer(ending, { args: [...args, '--repl-diskless-sync-delay', '0'] }),
  )
  const nodes = await Promise.all(servers)
  const addresses = nodes.map(({ port }) => `127.0.0.1:${port}`)
  await run('redis-cli', ['--cluster', 'create', ...addresses, '--cluster-replicas', '1', '--cluster-yes'], {
    timeout: PATIENCE,
  })
  await agreed(nodes)
  return {
    nodes,
    urls: nodes.map(({ url }) => url),
    masters: () => mastersOf(nodes),
    holderOf: (slot) => holderOf(nodes, slot),
    failover: (master) => failedOver(nodes, master),
    moveSlot: (slot, from, to) => moved(nodes, slot, from, to),
    slotOf: async (key) => Number(await nodes[0]!.cli('cluster', 'keyslot', key)),
  }
}

/** Waits until every node sees all slots served, and every replica follows its master. */
async function agreed(nodes: readonly RedisServer[]): Promise<void> {
  await until('the nodes agree', async () => {
    const states = await Promise.all(nodes.map((node) => node.cli('cluster', 'info')))
    const roles = await Promise.all(nodes.map((node) => node.cli('role')))
    const connected = roles.filter((role) => role.startsWith('slave') && role.includes('connected'))
    return (
      states.every((state) => state.includes('cluster_state:ok')) && connected.length === nodes.length / 2
    )
  })
}

async function mastersOf(nodes: readonly RedisServer[]): Promise<RedisServer[]> {
  const shards = await slots(nodes)
  return nodes.filter(({ port }) => shards.some(({ master }) => master === port))
}

async function holderOf(nodes: readonly RedisServer[], slot: number): Promise<RedisServer> {
  const shards = await slots(nodes)
  const shard = shards.find(({ first, last }) => first <= slot && slot <= last)
  const holder = nodes.find(({ port }) => port === shard?.master)
  if (holder === undefined) throw new Error(`no node holds slot ${slot}`)
  return holder
}

async function failedOver(nodes: readonly RedisServer[], master: RedisServer): Promise<RedisServer> {
  const following = await Promise.all(nodes.map((node) => follows(node, master)))
  const replica = nodes[following.indexOf(true)]
  if (replica === undefined) throw new Error(`127.0.0.1:${master.port} has no replica`)
  const [id, replicaId] = [await master.cli('cluster', 'myid'), await replica.cli('cluster', 'myid')]
  // A replica asks for votes once, and then not for seconds. Its master passes it over while it has not heard that it is
  // followed, and voters while they have not heard of the latest change of slots.
  await until('the failover finds the nodes agreed', async () => {
    const told = await Promise.all(nodes.map(known))
    const epochs = told.map((lines) => lines.get(id)?.epoch)
    return new Set(epochs).size === 1 && told.every((lines) => lines.get(replicaId)?.master === id)
  })
  await replica.cli('cluster', 'failover')
  await until(`127.0.0.1:${replica.port} takes over`, () => follows(master, replica))
  return replica
}

/** As the replica says: its master may not have heard of it yet. */
async function follows(node: RedisServer, master: RedisServer): Promise<boolean> {
  const [role, , port, link] = (await node.cli('role')).split('\n')
  return role === 'slave' && port === String(master.port) && link === 'connected'
}

/** What a node knows of all by their identity; its lines are: identity, address, flags, master, ping, pong, epoch, ... */
async function known(node: RedisServer): Promise<Map<string, { master: string; epoch: string }>> {
  const lines = (await node.cli('cluster', 'nodes')).split('\n').map((line) => line.split(' '))
  return new Map(lines.map(([id = '', , , master = '', , , epoch = '']) => [id, { master, epoch }]))
}

async function moved(
  nodes: readonly RedisServer[],
  slot: number,
  from: RedisServer,
  to: RedisServer,
): Promise<void> {
  const [source, target] = [await from.cli('cluster', 'myid'), await to.cli('cluster', 'myid')]
  await to.cli('cluster', 'setslot', slot, 'importing', source)
  await from.cli('cluster', 'setslot', slot, 'migrating', target)
  for (;;) {
    const keys = (await from.cli('cluster', 'getkeysinslot', slot, 100)).split('\n').filter(Boolean)
    if (keys.length === 0) break
    await from.cli('migrate', '127.0.0.1', to.port, '', 0, 5_000, 'keys', ...keys)
  }
  // The new holder first: in between, the old one still sends clients there one by one.
  await to.cli('cluster', 'setslot', slot, 'node', target)
  await from.cli('cluster', 'setslot', slot, 'node', target)
  await until(`slot ${slot} is told to all`, async () => {
    const told = await Promise.all(nodes.map((node) => node.cli('cluster', 'slots')))
    return told.every((text) =>
      shardsOf(text).some((s) => s.first <= slot && slot <= s.last && s.master === to.port),
    )
  })
}

interface Shard {
  first: number
  last: number
  /** The port of its master. */
  master: number
}

/** As the first node that answers sees it. */
async function slots(nodes: readonly RedisServer[]): Promise<Shard[]> {
  return shardsOf(await Promise.any(nodes.map((node) => node.cli('cluster', 'slots'))))
}

/** A shard is its first and last slot, then its nodes, the master first: address, port, id and a blank line each. */
function shardsOf(text: string): Shard[] {
  const pattern = /^(\d+)\n(\d+)\n127\.0\.0\.1\n(\d+)\n/gm
  return [...text.matchAll(pattern)].map(([, first, last, port]) => ({
    first: Number(first),
    last: Number(last),
    master: Number(port),
  }))
}
