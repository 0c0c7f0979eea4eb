import { execFileSync } from 'node:child_process'
import { join } from 'node:path'

import { expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '..')

/** The packages that are loaded by importing a module. */
function packagesOf(module: string): readonly string[] {
  const script = `
    import { registerHooks } from 'node:module'
    const seen = new Set()
    registerHooks({ resolve(name, context, next) { if (/^[a-z@]/.test(name) && !name.startsWith('node:')) seen.add(name); return next(name, context) } })
    await import(process.argv[1])
    console.log(JSON.stringify([...seen]))`
  const args = ['--input-type=module', '--eval', script, join(ROOT, module)]
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as string[]
}

test('a client loads no schema library: it alone would be a fifth of its memory', () => {
  for (const module of ['src/engine/index.ts', 'src/daemon/replica.ts', 'src/daemon/attach.ts']) {
    const packages = packagesOf(module)
    expect(packages.filter((name) => name.startsWith('typebox') || name.startsWith('fastify'))).toEqual([])
  }
  expect(packagesOf('src/cloud/index.ts')).toContain('fastify')
  // The contract is made of schemas; what checks them is not loaded.
  expect(packagesOf('src/client/index.ts').filter((name) => name !== 'typebox')).toEqual([])
})
