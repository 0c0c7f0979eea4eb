import { spawnSync } from 'node:child_process'
import { copyFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '..')
/** Clients and cloud run compiled, as people run them: a TypeScript loader alone takes 35 MiB. */
export const BUILT = join(ROOT, 'dist-bench')

export function buildBench(): void {
  rmSync(BUILT, { recursive: true, force: true })
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
  const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.bench.json'], {
    cwd: ROOT,
    stdio: 'inherit',
  })
  if (status !== 0) throw new Error('the bench does not compile')
  // The package's version is read from it.
  copyFileSync(join(ROOT, 'package.json'), join(BUILT, 'package.json'))
}
