import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { listRunBlocks, openPlace } from './readme-blocks.ts'

const ROOT = join(import.meta.dirname, '..')
const BIN = join(ROOT, 'bin/tidemark.js')
const README = join(ROOT, 'README.md')

test.skipIf(!existsSync(README))(
  'every block of the README marked to run, runs',
  { timeout: 600_000 },
  async () => {
    const blocks = listRunBlocks(readFileSync(README, 'utf8'))
    expect(blocks.length).toBeGreaterThan(0)
    await using place = await openPlace(BIN)
    for (const { line, script } of blocks) {
      const { code, said } = await place.run(script)
      expect(code, `README.md:${line}\n${script}\n${said}`).toBe(0)
    }
  },
)

test('only blocks marked to run are taken', () => {
  const markdown = [
    'Text',
    '```bash',
    'not this',
    '```',
    '```bash run',
    'one',
    '',
    '  two',
    '```',
    '````bash run',
    '```bash run',
    '````',
    '```js run',
    'nor this',
    '```',
  ].join('\n')
  expect(listRunBlocks(markdown)).toEqual([
    { line: 5, script: 'one\n\n  two', words: [] },
    { line: 10, script: '```bash run', words: [] },
  ])
  expect(listRunBlocks(markdown, 'js')).toEqual([{ line: 13, script: 'nor this', words: [] }])
})

test('a failing command fails its block, wherever it stands', async () => {
  await using place = await openPlace(BIN)
  expect(await place.run('echo before; false; echo after')).toEqual({ code: 1, said: 'before\n' })
  expect((await place.run('false | true')).code).toBe(1)
  expect((await place.run('echo "$nothing"')).code).not.toBe(0)
  expect((await place.run('no-such-program')).code).toBe(127)
})

test('blocks share a folder, have the bin on their path and nobody’s settings', async () => {
  process.env.TIDEMARK_ENDPOINT = 'http://127.0.0.1:1'
  try {
    await using place = await openPlace(BIN)
    expect((await place.run('echo here > file')).code).toBe(0)
    expect(
      await place.run('cat file; pwd -P > place; test "$(cd ~; pwd -P)" = "$(cat place)"'),
    ).toMatchObject({
      code: 0,
      said: 'here\n',
    })
    expect((await place.run('command -v tidemark')).code).toBe(0)
    expect(await place.run('env | grep TIDEMARK_')).toEqual({ code: 1, said: '' })
  } finally {
    delete process.env.TIDEMARK_ENDPOINT
  }
})

test('what a block leaves running ends with the place, and a block that hangs is stopped', async () => {
  let left = 0
  {
    await using place = await openPlace(BIN)
    const { code, said } = await place.run('sleep 600 & echo $!')
    expect(code).toBe(0)
    left = Number(said)
    expect(isRunning(left)).toBe(true)
    expect((await place.run('sleep 600', 100)).code).toBe(null)
  }
  await expect.poll(() => isRunning(left)).toBe(false)
})

/** A process that has ended but was not yet reaped by its parent counts as ended. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  const stat = `/proc/${pid}/stat`
  return !existsSync(stat) || !/\) Z /.test(readFileSync(stat, 'utf8'))
}
