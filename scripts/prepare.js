// npm runs this after `npm ci` in a checkout, before `npm pack`, and when another project installs from git.
// A checkout runs its sources and needs no build; the other two do. Plain JavaScript: `npm ci --omit=dev`
// leaves only the Node that is there.
import { join } from 'node:path'

const root = join(import.meta.dirname ?? '', '..')
const installsItself =
  ['ci', 'install'].includes(process.env.npm_command ?? '') && process.env.npm_config_local_prefix === root

if (!installsItself) await import('./build.ts')
