import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect, onTestFinished, test } from 'vitest'

import { askControl, socketPath } from './control.ts'

const makePath = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-control-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return socketPath(folder, 'one')
}

test('a process that takes the question and never answers is told as that, and waited for no longer', async () => {
  const path = makePath()
  const held = createServer(() => {})
  onTestFinished(() => void held.close())
  await new Promise<void>((resolve) => void held.listen(path, resolve))
  await expect(askControl(path, { command: 'status' }, 30)).rejects.toMatchObject({ code: 'in_use' })
})

test('where nobody listens there is nobody', async () => {
  expect(await askControl(makePath(), { command: 'status' }, 30)).toBeNull()
})
