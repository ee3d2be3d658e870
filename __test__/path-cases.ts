/**
 * Routes of Express, and requests that spell their paths in every way that might reach them: what a differential test of
 * path patterns is made of. A seed gives the same cases again.
 */

import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import express, { type Request, type RequestHandler, type Router } from 'express'
import express4 from 'express4'

/** Where a route is, and how it is declared. */
export interface Route {
  /** `mixed` is a router of Express 5 in an application of Express 4. */
  express: '4' | '5' | 'mixed'
  /** The paths that routers are mounted at, from the outermost. */
  mounts: string[]
  path: string
  method: 'get' | 'post' | 'all'
  caseSensitive: boolean
  strict: boolean
  /** Whether the middleware is in the innermost router, or else the first of the application. */
  inside: boolean
  /** What a rule for this route says: all paths joined. */
  pattern: string
  /** Paths that reach it. */
  sample: () => string
}

export interface Target {
  method: string
  url: string
}

/** Numbers from 0 to 1, which a seed gives again (Mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

type Random = () => number

interface Piece {
  text: string
  sample: () => string
}

const WORDS = [
  'api',
  'v1',
  'users',
  'Files',
  'a.b',
  'x-y',
  '~me',
  '@me',
  '$meta',
  'a;b',
  '2D',
  'a,b=c',
  "o'k",
  '_',
  'caf%C3%A9',
  'caf\u00e9',
  '\u00ff',
  '%40',
  '%2F',
  '%25',
  'a%20b',
  '%3B',
  '\\|',
  '\\{',
  '\\*',
  '\\:',
  'c%5cd',
]
const SEGMENTS = [
  '7',
  'acme',
  'a.json',
  'x-y',
  'Z',
  '..',
  '.',
  '%2e',
  'a%2Fb',
  '%62',
  '\u00e9',
  ';',
  '%',
  'a;b',
  '2D',
  '%2D',
  '%zz',
]

function pick<T>(random: Random, from: readonly T[]): T {
  return from[Math.floor(random() * from.length)] as T
}

export function routes(random: Random): () => Route {
  const segment = (): string => pick(random, SEGMENTS)
  const rest = (): string => Array.from({ length: 1 + Math.floor(random() * 3) }, segment).join('/')

  function literal(): Piece {
    const word = pick(random, WORDS)
    return { text: `/${word}`, sample: () => `/${word.replaceAll('\\', '')}` }
  }

  function piece(version: Route['express']): Piece {
    const kinds: (() => Piece)[] = [
      literal,
      literal,
      literal,
      () => ({ text: '/:id', sample: () => `/${segment()}` }),
      () => ({ text: '/:id.json', sample: () => `/${segment()}.json` }),
      () => ({ text: '/v:version', sample: () => `/v${segment()}` }),
      () => ({ text: '/:from-:to', sample: () => `/${segment()}-${segment()}` }),
      () => ({ text: '/@:name', sample: () => `/@${segment()}` }),
    ]
    if (version === '4') {
      kinds.push(
        () => ({ text: '/*', sample: () => `/${rest()}` }),
        () => ({ text: '/a*', sample: () => `/a${rest()}` }),
        () => ({ text: '/x*2D', sample: () => `/x${rest()}2D` }),
        () => ({ text: '*/end', sample: () => `/${rest()}/end` }),
      )
    } else if (version === '5') {
      kinds.push(
        () => ({ text: '/*rest', sample: () => `/${rest()}` }),
        () => ({ text: '{/*rest}', sample: () => pick(random, ['', `/${rest()}`]) }),
        () => ({ text: '{/:maybe}', sample: () => pick(random, ['', `/${segment()}`]) }),
        () => ({ text: '/a{b{c}}', sample: () => pick(random, ['/a', '/ab', '/abc']) }),
        () => ({ text: '/:"in quotes"{.:format}', sample: () => `/${segment()}${pick(random, ['', '.x'])}` }),
        () => ({ text: '/*rest.txt', sample: () => `/${rest()}.txt` }),
      )
    }
    return pick(random, kinds)()
  }

  function pieces(version: Route['express'], count: number): Piece {
    const all = Array.from({ length: count }, () => piece(version))
    return {
      text: all.map(({ text }) => text).join(''),
      sample: () => all.map(({ sample }) => sample()).join(''),
    }
  }

  return () => {
    for (;;) {
      const made = attempt()
      // Express accepts a parameter right before a wildcard if they are of two routers, and patterns do not.
      if (!/[:*](?:\w+|"[^"]*")\}?\*splat/.test(made.pattern)) return made
    }
  }

  function attempt(): Route {
    const version = pick(random, ['4', '5', 'mixed'] as const)
    const mounts = Array.from({ length: Math.floor(random() * 3) }, () => {
      const mount =
        random() < 0.1 ? { text: '/', sample: () => '' } : pieces(version, 1 + Math.floor(random() * 1.5))
      return random() < 0.2 && mount.text !== '/' ? { ...mount, text: `${mount.text}/` } : mount
    })
    const last = route(version)
    const all = [...mounts, last]
    return {
      express: version,
      mounts: mounts.map(({ text }) => text),
      path: last.text,
      method: pick(random, ['get', 'post', 'all'] as const),
      caseSensitive: random() < 0.2,
      strict: random() < 0.2,
      inside: random() < 0.3,
      pattern: all.map(({ text }) => text).reduce(joined),
      sample: () => all.map(({ sample }) => sample()).join('') || '/',
    }
  }

  function route(version: Route['express']): Piece {
    if (random() < 0.15) return { text: '/', sample: () => pick(random, ['', '/']) }
    if (random() < 0.05 && version === '4')
      return { text: '*', sample: () => pick(random, ['', `/${rest()}`]) }
    if (random() < 0.05 && version === '5')
      return { text: '*splat', sample: () => pick(random, ['', `/${rest()}`]) }
    const made = pieces(version, 1 + Math.floor(random() * 2))
    return random() < 0.2 ? { text: `${made.text}/`, sample: () => `${made.sample()}/` } : made
  }
}

/** What is written for a route in a router that is mounted: both paths, without a second slash between them. */
function joined(mount: string, path: string): string {
  const bare = mount.replace(/\/+$/, '')
  return bare === '' && path === '' ? '/' : bare + path
}

/** Requests for a path of the route, respelled. */
export function targets(random: Random, route: Route): () => Target {
  const spellings: ((url: string) => string)[] = [
    (url) => at(url, '/', (slash) => slash + slash),
    (url) => at(url, '/', (slash) => slash + slash),
    (url) =>
      at(
        url,
        '/',
        (slash) => pick(random, ['///', '/./', '/x/../', '/%2e/', '/x/%2E%2e/', '/x//../']) + slash,
      ),
    (url) => at(url, '/', () => pick(random, ['\\', '%2F', '%2f', '%5C', ''])),
    (url) => at(url, '/', (slash) => pick(random, [';a=b', ';', '%3B', '..;']) + slash),
    (url) => at(url, /[a-z]/gi, (letter) => (letter < 'a' ? letter.toLowerCase() : letter.toUpperCase())),
    (url) => (random() < 0.5 ? url.toUpperCase() : url.toLowerCase()).replace(/[^\0-\xff]/g, '?'),
    (url) => at(url, /./gs, (letter) => encoded(letter, random() < 0.5)),
    (url) => at(url, /[^/]/gs, (letter) => encoded(letter, random() < 0.5)),
    (url) => at(url, /%../g, (escape) => (random() < 0.5 ? escape.toLowerCase() : escape.toUpperCase())),
    (url) => at(url, /%../g, decoded),
    (url) =>
      at(url, /./gs, () =>
        pick(random, [...'aZ/.%;:@|{`^~*+-0\\\'"', '\u00e9', '\u00c9', '\u00ff', '\u00b5']),
      ),
    (url) => at(url, /./gs, (letter) => letter + pick(random, [...'a/.%;|', '\u00e9', '\u00a0'])),
    (url) => at(url, /./gs, () => ''),
    (url) => `${url}/`,
    (url) => `${url}${pick(random, ['//', '/.', '/..', '/x/..', '/%2e', ';x', '%20', '\u00a0', '.'])}`,
    (url) => url.replace(/\/$/, ''),
    (url) => `${url}${pick(random, ['?', '?a=b', '?a=/../b', '?a?b', '?http://h/x', '?\u00a0'])}`,
    (url) => `${url}${pick(random, ['#', '#a', '?#', '?a=b#c', '#?', '#//a'])}`,
    (url) =>
      pick(random, [
        'http://h',
        'HTTP://h:80',
        'http://u@h',
        'ws://h',
        'javascript://h',
        'http:/',
        'http://h/',
      ]) + url,
    (url) => pick(random, ['//u@h', '//h', '/', '//u:p@h/', '/\\u@h', '\\']) + url,
  ]

  function at(url: string, what: string | RegExp, change: (found: string) => string): string {
    const places = [...url.matchAll(typeof what === 'string' ? new RegExp(what, 'g') : what)]
    if (places.length === 0) return url
    const place = pick(random, places)
    return url.slice(0, place.index) + change(place[0]) + url.slice(place.index + place[0].length)
  }

  return () => {
    let url = route.sample()
    for (let count = Math.floor(random() * 4); count > 0; count--) url = pick(random, spellings)(url)
    const own = route.method === 'post' ? 'POST' : 'GET'
    return { url, method: pick(random, [own, own, own, 'HEAD', 'GET', 'POST', 'DELETE', 'OPTIONS']) }
  }
}

function encoded(letter: string, upper: boolean): string {
  const escapes = [...Buffer.from(letter)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
  return upper ? escapes.toUpperCase() : escapes
}

function decoded(escape: string): string {
  const code = Number.parseInt(escape.slice(1), 16)
  return Number.isNaN(code) || code <= 32 ? escape : String.fromCharCode(code)
}

/**
 * An application with the route, which hands it requests without a socket. `reached` gets the request if the route is
 * reached. Throws if Express does not accept the paths.
 */
export function application(
  route: Route,
  middleware: RequestHandler | undefined,
): (target: Target) => Promise<Request | undefined> {
  const outer = route.express === '5' ? express : express4
  const inner = route.express === '4' ? express4 : express
  const app = outer()
  app.set('case sensitive routing', route.caseSensitive)
  app.set('strict routing', route.strict)
  let reached: Request | undefined
  if (middleware !== undefined && !route.inside) app.use(middleware)
  let router: Router = app as unknown as Router
  for (const mount of route.mounts) {
    const next = inner.Router({ caseSensitive: route.caseSensitive, strict: route.strict })
    router.use(mount, next)
    router = next
  }
  if (middleware !== undefined && route.inside) router.use(middleware)
  router[route.method](route.path, (req, res) => {
    reached = req
    res.end()
  })

  const socket = new Socket()
  return ({ method, url }) => {
    const req = new IncomingMessage(socket)
    req.method = method
    req.url = url
    req.headers = { host: 'localhost' }
    const res = new ServerResponse(req)
    reached = undefined
    return new Promise((resolve) => {
      res.end = function answered(this: ServerResponse): ServerResponse {
        resolve(reached)
        return this
      }
      app(req as Request, res as express.Response, () => resolve(undefined))
    })
  }
}
