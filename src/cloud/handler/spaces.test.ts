import { expect, test } from 'vitest'

import { systemClock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { seededRandom } from '../../kernel/random.ts'
import { SCOPES } from '../../protocol/routes.ts'
import type { Grant } from '../directory.ts'
import { MemoryDirectory } from '../directory/memory.ts'
import { MemoryLog } from '../log/memory.ts'
import { createSpaces } from './spaces.ts'

const grant: Grant = {
  tokenId: 'token',
  account: 'ours',
  scopes: SCOPES,
  spaces: null,
  defaultSpace: 'main',
  device: null,
}
const parts = { clock: systemClock, random: seededRandom(1) }
const deny = (): never => {
  throw new TidemarkError('internal', 'the directory was asked again')
}

test('the id of a space is asked for once', async () => {
  const directory = new MemoryDirectory(parts)
  const spaces = createSpaces(directory, new MemoryLog(parts))
  const id = await spaces.open(grant, 'main', async (space) => space)
  directory.findSpace = deny
  expect(await spaces.find(grant, 'main', async (space) => space)).toBe(id)
  await expect(spaces.find({ ...grant, account: 'theirs' }, 'main', async () => {})).rejects.toThrow('again')
})

test('I12: what is remembered is of one account, and grants nothing', async () => {
  const spaces = createSpaces(new MemoryDirectory(parts), new MemoryLog(parts))
  const ours = await spaces.open(grant, 'main', async (id) => id)
  expect(await spaces.open({ ...grant, account: 'theirs' }, 'main', async (id) => id)).not.toBe(ours)
  const elsewhere = { ...grant, spaces: ['other'] }
  await expect(spaces.find(elsewhere, 'main', async (id) => id)).rejects.toMatchObject({ code: 'forbidden' })
})

test('I11: a space that is gone with what was put back is made anew, for who may write', async () => {
  const directory = new MemoryDirectory(parts)
  const log = new MemoryLog(parts)
  const spaces = createSpaces(directory, log)
  const first = await spaces.open(grant, 'main', async (id) => id)
  /** Everything is as it was before the space. */
  const gone = async (id: string): Promise<string> => {
    if (id === first) throw new TidemarkError('space_not_found')
    return id
  }
  const ids = new Map<string, string>()
  directory.findSpace = async (_, name) => ids.get(name) ?? null
  directory.ensureSpace = async (_, name) => {
    ids.set(name, 'second')
    return 'second'
  }
  const reader = { ...grant, scopes: ['read'] } as const
  await expect(spaces.open(reader, 'main', gone)).rejects.toMatchObject({ code: 'space_not_found' })
  expect(await spaces.open(grant, 'main', gone)).toBe('second')
  expect((await log.status('second')).head).toBe(0)
})
