import { expect, test } from 'vitest'

import { openMachine } from '../../../../test/command-line.ts'
import { openTestDatabase } from '../../../../test/postgres/database.ts'
import { openLogNodes } from '../../../../test/postgres/log-nodes.ts'
import { generationsOf, pullOf } from '../../../../test/postgres/running-node.ts'
import { codeOf, put, Reader } from '../../../testing/log-contract/harness.ts'
import { openDatabase } from '../../postgres/pool.ts'

test('I11: an operator begins a generation in every space, under nodes that go on', async () => {
  await using nodes = await openLogNodes()
  await using machine = await openMachine()
  const node = nodes.node()
  const spaces = [await nodes.space(), await nodes.space(), await nodes.space()]
  const readers = spaces.map((space) => new Reader(node, 'a', space))
  for (const reader of readers) {
    await reader.start()
    await reader.write(put('1', 0, { x: 1 }))
  }
  const before = await Promise.all(spaces.map((space) => generationsOf(node, space)))
  // A restore that left no trace: the newest record went, with its version, and the marks fit.
  const [space = '', kept = ''] = spaces
  await nodes.admin.query(
    `WITH s AS (UPDATE tidemark.spaces SET head = 0, wrote = pg_current_xact_id() WHERE id = $1 RETURNING no)
     DELETE FROM tidemark.records r USING s WHERE r.space = s.no`,
    [space],
  )
  expect(await machine.ask('cloud', 'begin-generation', '--database', nodes.url)).toEqual({ spaces: 3 })
  for (const [at, id] of spaces.entries())
    expect((await generationsOf(node, id)).slice(0, -1)).toEqual(before[at])
  const [lost, whole] = readers as [Reader, Reader]
  expect(await codeOf(node.pull(space, pullOf(lost)))).toBe('lost_history')
  expect((await node.pull(kept, pullOf(whole))).records).toEqual([])
  expect(await whole.write(put('2', 0, {}))).toEqual([2])

  const inFolder = await machine.tidemark('cloud', 'begin-generation', '--data', machine.folder)
  expect(inFolder.code).toBe(2)
  expect(inFolder.err).toContain('stop it and start it again')
})

test('in a database without a cloud no generation begins, and nothing is made', async () => {
  await using empty = await openTestDatabase()
  await using machine = await openMachine()
  const told = await machine.tidemark('cloud', 'begin-generation', '--database', empty.url)
  expect(told).toMatchObject({ code: 1, err: expect.stringContaining('there is no cloud in postgres://') })
  await using admin = openDatabase(empty)
  expect(await admin.query(`SELECT FROM pg_namespace WHERE nspname = 'tidemark'`)).toEqual([])
})
