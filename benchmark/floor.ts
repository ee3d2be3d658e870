/** The floor under any native limiter: a Node-API call that reads the name and does nothing with it (floor/). */

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const library = {
  linux: 'libtollgate_floor.so',
  darwin: 'libtollgate_floor.dylib',
  win32: 'tollgate_floor.dll',
}

export function floorReader(): (name: string) => void {
  const build = spawnSync('cargo', ['build', '--quiet', '--release', '--locked', '-p', 'tollgate-floor'], {
    cwd: root,
    stdio: 'inherit',
  })
  if (build.status !== 0) throw new Error('benchmark/floor does not build')
  const file = library[process.platform as keyof typeof library]
  const loaded = { exports: {} as { reader(): (name: string) => void } }
  process.dlopen(loaded, `${root}/target/release/${file}`)
  return loaded.exports.reader()
}
