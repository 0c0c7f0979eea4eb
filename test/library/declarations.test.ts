import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, expect, it } from 'vitest'

import { scanSource } from '../../scripts/scan-source.ts'
import { readPublicTypes, type PublicTypes } from './declarations.ts'

const ROOT = join(import.meta.dirname, '../..')
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc')
const folder = mkdtempSync(join(tmpdir(), 'tidemark-declarations-'))
let types: PublicTypes

beforeAll(() => {
  // As the package is built, beside it.
  const build = ['-p', join(ROOT, 'tsconfig.build.json'), '--emitDeclarationOnly', '--outDir', folder]
  execFileSync(process.execPath, [TSC, ...build], { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] })
  types = readPublicTypes(folder, 'library/index.d.ts')
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

it('no public type of the library says any', () => {
  const loose = types.declarations.filter(({ text }) => /\bany\b/.test(scanSource(text).code))
  expect(loose.map(({ file, name }) => `${file} ${name}`)).toEqual([])
})

it('the types of the library need no package that an application may lack', () => {
  expect(types.packages).toEqual([])
})

/** The errors with what a program decides by; their wording is no type of anybody's. */
const foldErrors = (text: string): string =>
  text.replace(
    /: \{\s*readonly status: (\d+);\s*readonly retry: (\w+);\s*readonly title: [^}]*?\};/g,
    ': { status: $1; retry: $2 };',
  )

/** What an application is compiled against: a change is a decision, `vitest run test/library -u` writes it down. */
it('the public types of the library', () => {
  const text = types.declarations.map((declaration) => declaration.text).join('\n\n')
  expect(`\n${foldErrors(text)}\n`).toMatchSnapshot()
})
