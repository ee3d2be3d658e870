// Sees to it that tests can start `redis-server`: installs Debian's package where that is allowed, and else says what to do.
// Run by itself, or as a step of `npm test`.

import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const PROGRAMS = ['redis-server', 'redis-cli']

const HOW = `Tests start Redis servers of their own, and need redis-server and redis-cli (6.2 or later) on PATH:
  Debian, Ubuntu   sudo apt-get install redis-server
  Fedora           sudo dnf install valkey-compat-redis (before Fedora 41: redis)
  macOS            brew install redis`

/**
 * The package starts a service, now and at every boot, that nobody asked for. policy-rc.d forbids what is installed to start
 * services; where the machine has one of its own, that one stands, and what it let start is stopped.
 */
const INSTALL = `
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  trap 'rm -f $policy' EXIT
  printf '#!/bin/sh\\nexit 101\\n' > $policy
  chmod 755 $policy
fi
install() { apt-get install --yes --quiet --no-install-recommends redis-server; }
install || { apt-get update --quiet && install; } || exit 1
{ systemctl disable redis-server; update-rc.d redis-server disable; service redis-server stop; } >/dev/null 2>&1
exit 0
`

/** Is it there, be it now? */
export function ensureRedisServer() {
  if (missing().length === 0) return true
  const asRoot = rootCommand()
  if (asRoot !== undefined && onPath('apt-get')) {
    console.log('redis-server is not on PATH: installing it with apt-get')
    const [program, ...args] = [...asRoot, 'sh', '-c', INSTALL]
    spawnSync(program, args, { stdio: 'inherit' })
  }
  const without = missing()
  if (without.length > 0) console.log(`Not on PATH: ${without.join(', ')}. ${HOW}`)
  return without.length === 0
}

function missing() {
  return PROGRAMS.filter((program) => !onPath(program))
}

function onPath(program) {
  return (process.env.PATH ?? '').split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** What goes before a command that only root may run; undefined if this user may not without a password. */
function rootCommand() {
  if (process.getuid?.() === 0) return []
  if (onPath('sudo') && spawnSync('sudo', ['--non-interactive', 'true']).status === 0)
    return ['sudo', '--non-interactive']
  return undefined
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = ensureRedisServer() ? 0 : 1
