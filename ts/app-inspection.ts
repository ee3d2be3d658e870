/**
 * Looks an Express app over, 4 or 5: is a limiter mounted twice, behind what it should guard, or where clients can choose their
 * addresses? It reads what Express keeps of an app's layers; what an app mounts as another app is looked over by itself.
 */

import { markOf, type MountMark } from './app-mark.ts'
import type { TopologyFinding } from './rollout-types.ts'

/** A layer of a router, as Express 4 and 5 keep it. */
interface Layer {
  name?: string
  handle: { (...args: unknown[]): unknown; stack?: Layer[]; resetKey?: unknown; getKey?: unknown }
  route?: { path: unknown; stack: Layer[] } | undefined
  /** Of Express 5. */
  slash?: boolean
  rawPath?: unknown
  /** Of Express 4. */
  regexp?: RegExp & { fast_slash?: boolean }
}

interface App {
  get(setting: string): unknown
  /** Of Express 5, which makes it when it is asked for. */
  router?: { stack?: Layer[] }
  /** Of Express 4. */
  _router?: { stack?: Layer[] }
}

/** Something that a request passes on its way, or comes to. */
interface Station {
  /** What requests it is for: those of the same paths have the same. */
  place: string
  /** Is it for all requests that come by? */
  isEverywhere: boolean
  name: string
  handle: Layer['handle']
  mark: MountMark | undefined
}

const BODY_PARSERS = new Set([
  'jsonParser',
  'urlencodedParser',
  'rawParser',
  'textParser',
  'multerMiddleware',
])
const LIMITER_NAMES = /rate.?limit|slow.?down|throttle|hitlimit|brute/i
/** So many routes are named in one finding. */
const MOST_NAMED = 5

/** What there is to say of an app; nothing where it is none of Express. */
export function inspectApp(app: unknown): TopologyFinding[] {
  if (!isApp(app)) return []
  const seen = new Inspection()
  seen.walk(stackOf(app), [], '')
  return [...seen.findings(), ...proxyFindings(app, seen.marks)]
}

function isApp(app: unknown): app is App {
  return typeof app === 'function' && 'get' in app && 'use' in app
}

function stackOf(app: App): Layer[] {
  // eslint-disable-next-line no-underscore-dangle -- what Express 4 calls it
  return (app._router ?? routerOf(app))?.stack ?? []
}

function routerOf(app: App): App['router'] {
  try {
    return app.router
  } catch {
    // Express 4, of an app without any layer.
    return undefined
  }
}

class Inspection {
  readonly marks: MountMark[] = []
  private readonly found = new Map<string, TopologyFinding>()
  /** Routes that requests came to without any limiter. */
  private readonly unguarded: string[] = []

  /** Follows a request through a router; `passed` is what it has passed above. */
  walk(stack: readonly Layer[], passed: readonly Station[], prefix: string): void {
    const way = [...passed]
    for (const layer of stack) {
      if (layer.route !== undefined) this.route(layer, layer.route, way, prefix)
      else if (layer.handle.stack !== undefined) this.walk(layer.handle.stack, way, prefix + pathOf(layer))
      else way.push(this.pass(station(layer, prefix), way))
    }
  }

  findings(): TopologyFinding[] {
    if (this.marks.length > 0 && this.unguarded.length > 0) {
      const more = this.unguarded.length - MOST_NAMED
      const named = this.unguarded.slice(0, MOST_NAMED).join(', ') + (more > 0 ? ` and ${more} more` : '')
      const text = `no limiter guards ${named}: mount the limiter before the routes`
      this.add('warning', text, { paths: this.unguarded })
    }
    return [...this.found.values()]
  }

  private route(
    layer: Layer,
    route: NonNullable<Layer['route']>,
    way: readonly Station[],
    prefix: string,
  ): void {
    const path = prefix + (typeof route.path === 'string' ? route.path : pathOf(layer))
    const place = prefix + placeOf(layer)
    const own = way.filter((above) => isOnWay(above, place, path))
    for (const inner of route.stack) {
      own.push(this.pass({ ...station(inner, prefix), place, isEverywhere: false }, own))
    }
    if (!own.some(({ mark, handle, name }) => mark !== undefined || isLimiter(name, handle)))
      this.unguarded.push(path)
  }

  /** Judges something by what requests have passed before they come to it. */
  private pass(next: Station, way: readonly Station[]): Station {
    const before = way.filter((above) => above.isEverywhere || above.place === next.place)
    const where = next.isEverywhere ? '' : ` at ${next.place}`
    if (next.mark !== undefined) {
      this.marks.push(next.mark)
      this.limiter(next.mark, before, where)
    } else if (isLimiter(next.name, next.handle) && before.some(({ mark }) => mark !== undefined)) {
      this.add(
        'warning',
        `another limiter, ${next.name}, is in the chain${where}: requests are counted by both`,
      )
    }
    return next
  }

  private limiter(mark: MountMark, before: readonly Station[], where: string): void {
    const isSecond = before.some((above) => above.mark?.limiter === mark.limiter)
    if (isSecond && mark.rule === undefined) {
      this.add('fault', `this limiter is mounted twice${where}: each request is charged twice`)
    }
    const other = before.find((above) => above.mark === undefined && isLimiter(above.name, above.handle))
    if (other !== undefined) {
      this.add(
        'warning',
        `another limiter, ${other.name}, is in the chain${where}: requests are counted by both`,
      )
    }
    const parser = before.find(({ name }) => BODY_PARSERS.has(name))
    // A route that names a rule comes after the app's own limiter, which has let the request in.
    if (parser !== undefined && !isSecond) {
      const text = `the limiter comes after ${parser.name}${where}: bodies of requests that it refuses have been read by then`
      this.add('warning', text)
    }
  }

  private add(level: TopologyFinding['level'], text: string, details: object = {}): void {
    this.found.set(text, { kind: 'app', level, text, ...details })
  }
}

function station(layer: Layer, prefix: string): Station {
  const isEverywhere = layer.slash === true || layer.regexp?.fast_slash === true
  const { handle, name = '' } = layer
  return { place: prefix + placeOf(layer), isEverywhere, name, handle, mark: markOf(handle) }
}

/** Whether requests of a route pass this on their way. */
function isOnWay(above: Station, place: string, path: string): boolean {
  return (
    above.isEverywhere || above.place === place || path === above.place || path.startsWith(`${above.place}/`)
  )
}

function isLimiter(name: string, handle: Layer['handle']): boolean {
  if (markOf(handle) !== undefined) return false
  // What express-rate-limit and express-slow-down leave on their handlers.
  const hasKeys = typeof handle.resetKey === 'function' && typeof handle.getKey === 'function'
  return hasKeys || LIMITER_NAMES.test(name)
}

/** The same for layers of the same path. */
function placeOf({ rawPath, regexp }: Layer): string {
  if (rawPath !== undefined) return String(rawPath)
  return regexp === undefined ? '' : (literalPath(regexp) ?? regexp.source)
}

/** The path, where it can be told. */
function pathOf(layer: Layer): string {
  if (layer.slash === true || layer.regexp?.fast_slash === true) return ''
  return placeOf(layer)
}

/** Express 4 keeps no path but what it has made of it: `^\/api\/?(?=\/|$)`. */
function literalPath({ source }: RegExp): string | undefined {
  const [, literal] = /^\^((?:\\\/[\w~.-]*|\\[.-])+?)(?:\\\/\?(?:\(\?=\\\/\|\$\)|\$))$/.exec(source) ?? []
  return literal?.replaceAll('\\', '')
}

function proxyFindings(app: App, marks: readonly MountMark[]): TopologyFinding[] {
  const kept = marks.filter(({ addresses }) => addresses !== 'nothing')
  if (kept.length === 0) return []
  const isTenants = kept.some(({ addresses }) => addresses === 'tenants')
  const what = isTenants ? 'tenants are' : 'requests without a tenant are'
  const level = isTenants ? 'fault' : 'warning'
  const trusted = app.get('trust proxy')
  if (trusted === true) {
    const text = `trust proxy is true, so clients choose their addresses by X-Forwarded-For, and ${what} kept by address: say how many proxies there are, or which`
    return [{ kind: 'app', level, text }]
  }
  const isUnset = trusted === undefined || trusted === false || trusted === 0
  if (isUnset && kept.some(({ isForwarded }) => isForwarded())) {
    const text = `requests come with X-Forwarded-For and trust proxy is off, so all have the address of the proxy, and ${what} kept by address`
    return [{ kind: 'app', level, text }]
  }
  return []
}
