import { readFileSync } from 'node:fs'

import { expect, test } from 'vitest'

/** What a module imports at run time. */
function importsOf(source: string): readonly string[] {
  const statements = source.matchAll(/^(?:import|export)\s+(?!type\b)(?:[^'"]*?\sfrom\s+)?['"]([^'"]+)['"]/gm)
  return [...statements, ...source.matchAll(/\bimport\(\s*['"]([^'"]+)['"]/g)].map(([, path]) => path ?? '')
}

function reachedFrom(entry: URL): {
  readonly files: ReadonlySet<string>
  readonly others: readonly string[]
} {
  const files = new Set<string>()
  const others: string[] = []
  const queue = [entry]
  for (let url = queue.pop(); url !== undefined; url = queue.pop()) {
    if (files.has(url.href)) continue
    files.add(url.href)
    for (const path of importsOf(readFileSync(url, 'utf8'))) {
      if (path.startsWith('.')) queue.push(new URL(path, url))
      else others.push(`${path} in ${url.pathname.split('/').slice(-3).join('/')}`)
    }
  }
  return { files, others }
}

test.each(['./provider.ts', './devices.ts'])(
  '%s is made of neutral modules alone: no built-in of Node, no package',
  (client) => {
    const { files, others } = reachedFrom(new URL(client, import.meta.url))
    expect(others).toEqual([])
    expect(files.size).toBeGreaterThan(10)
  },
)

test('Node’s codec is reached only by who asks for it', () => {
  const { files } = reachedFrom(new URL('./provider.ts', import.meta.url))
  expect([...files].some((file) => file.endsWith('/node-codec.ts'))).toBe(false)
  expect(reachedFrom(new URL('./node-codec.ts', import.meta.url)).others).toContainEqual(
    expect.stringMatching(/^node:zlib /),
  )
})
