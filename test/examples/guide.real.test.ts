import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, expect, it } from 'vitest'

import { listRunBlocks } from '../readme-blocks.ts'
import { CONFLICT, END, LOOK, SETTING } from './guide-setting.ts'
import { installExamples, serveCloud, type Installed } from './installed.ts'

const ROOT = join(import.meta.dirname, '../..')
const DOCUMENTS = ['docs/guides/library.md', 'README.md']

/** A block as a program: `run alone` is one already, any other has the guide's setting around it. */
const programs = DOCUMENTS.flatMap((document) =>
  listRunBlocks(readFileSync(join(ROOT, document), 'utf8'), 'ts').map(({ line, script, words }) => ({
    place: `${document}:${line}`,
    file: `${document.replace(/\W+/g, '-')}-${line}.ts`,
    code: words.includes('alone') ? script : `${SETTING}${script}${END}`,
  })),
)

let installed: Installed
let cloud: Awaited<ReturnType<typeof serveCloud>>

beforeAll(async () => {
  installed = installExamples()
  for (const { file, code } of programs) writeFileSync(join(installed.folder, 'guide', file), code)
  cloud = await serveCloud(installed.folder)
  // Blocks that stand alone work in an application's database as well, and the inbox is not empty.
  expect(await run('conflict.ts', CONFLICT)).toEqual({ code: 0, said: "1 [ 'here' ]\n" })
})
afterAll(async () => {
  await cloud[Symbol.asyncDispose]()
  installed[Symbol.dispose]()
})

it('the blocks of the guide fit the declarations of the package', () => {
  expect(programs.length).toBeGreaterThan(15)
  expect(installed.check('guide')).toBe('')
})

it.each(programs)('$place runs', async ({ file }) => {
  const { code, said } = await installed.run('guide', [file], cloud.env)
  expect(code, said).toBe(0)
})

it('the block about the inbox has given the conflict the other side', async () => {
  expect(await run('look.ts', LOOK)).toEqual({ code: 0, said: "0 [ 'there' ]\n" })
})

async function run(file: string, code: string) {
  writeFileSync(join(installed.folder, 'guide', file), code)
  return installed.run('guide', [file], cloud.env)
}
