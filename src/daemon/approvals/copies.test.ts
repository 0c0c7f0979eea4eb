import Database from 'better-sqlite3'
import { expect, it } from 'vitest'

import { DENY, openWorld } from '../../../test/daemon/approvals/world.ts'
import { createManualClock } from '../../testing/manual-clock.ts'

const worldAt = () => {
  const clock = createManualClock(1_700_000_000_000)
  return { clock, world: openWorld({ clock }) }
}
type World = ReturnType<typeof openWorld>
const copyOf = (world: World, id: string): unknown =>
  world.agents.database.prepare('SELECT * FROM approvals WHERE id = ?').get(id)
const changes = (world: World): readonly unknown[] =>
  world.agents.database
    .prepare("SELECT row_id, verb FROM local_changes WHERE table_name = 'approvals' ORDER BY seq")
    .all()
const uncopied = (world: World): unknown =>
  world.database.prepare('SELECT count(*) FROM approvals WHERE copied = 0').pluck().get()

it('copies what was asked and what became of it, but not the context', async () => {
  const { clock, world } = worldAt()
  using _ = world
  const tool_input = { command: 'ls', n: [1] }
  const {
    owned: _owned,
    context_size: _size,
    ...asked
  } = await world.ask({ id: 'a', session_id: 's', tool_input, context: 'secret' })
  expect(copyOf(world, 'a')).toBe(undefined)
  clock.elapse(100)
  const copy = { ...asked, tool_input: JSON.stringify(tool_input), context: null }
  expect(copyOf(world, 'a')).toEqual(copy)
  await world.decide('a', DENY)
  clock.elapse(100)
  const decided = { status: 'denied', comment: 'no', decided_by: 'local', decided_at: clock.now() - 100 }
  expect(copyOf(world, 'a')).toEqual({ ...copy, ...decided })
  expect([uncopied(world), changes(world)]).toEqual([
    0,
    [
      { row_id: 'a', verb: 'insert' },
      { row_id: 'a', verb: 'update' },
    ],
  ])
})

it('repairs after a kill what was not copied, or not marked as copied, and writes nothing twice', async () => {
  const { clock, world } = worldAt()
  using _ = world
  await world.ask({ id: 'a' })
  await world.ask({ id: 'b' })
  const second = world.reopen()
  expect(copyOf(second, 'a')).toBe(undefined)
  clock.elapse(100)
  expect([copyOf(second, 'a'), copyOf(second, 'b')]).toMatchObject([{ id: 'a' }, { id: 'b' }])
  second.database.exec('UPDATE approvals SET copied = 0')
  const third = second.reopen()
  clock.elapse(100)
  expect([uncopied(third), changes(third).length]).toEqual([0, 2])
  third.approvals[Symbol.dispose]()
})

it('delays only the copy where another program holds the file, or it is full', async () => {
  const { clock, world } = worldAt()
  using _ = world
  using holder = { database: new Database(world.folders.agents), [Symbol.dispose]: () => {} }
  holder.database.exec('BEGIN IMMEDIATE')
  await world.ask({ id: 'a' })
  expect(await world.decide('a')).toMatchObject({ status: 'approved' })
  clock.elapse(1_000)
  expect(uncopied(world)).toBe(1)
  holder.database.exec('COMMIT')
  holder.database.close()
  clock.elapse(120_000)
  expect(copyOf(world, 'a')).toMatchObject({ status: 'approved' })
  const pages = Number(world.agents.database.pragma('page_count', { simple: true }))
  world.agents.database.pragma(`max_page_count = ${pages}`)
  await world.ask({ id: 'b', tool_input: 'x'.repeat(100_000) })
  expect(await world.decide('b')).toMatchObject({ status: 'approved' })
  clock.elapse(1_000)
  expect([uncopied(world), copyOf(world, 'b')]).toEqual([1, undefined])
  expect(world.logged.at(-1)).toContain('disk_full')
  world.agents.database.pragma('max_page_count = 1000000')
  clock.elapse(120_000)
  expect(copyOf(world, 'b')).toMatchObject({ status: 'approved' })
  expect(clock.pending).toEqual([])
})

it('copies what was decided while it was copying once more', async () => {
  const { clock, world } = worldAt()
  using _ = world
  world.database.transaction(() => {
    for (let n = 0; n < 250; n++)
      world.database
        .prepare(
          "INSERT INTO approvals (id, tool_name, request_hash, status, created_at) VALUES (?, 'x', 'x', 'pending', 0)",
        )
        .run(`a${n}`)
  })()
  await world.ask({ id: 'b' })
  clock.elapse(20)
  await world.decide('a7')
  clock.elapse(1_000)
  expect([uncopied(world), copyOf(world, 'a7')]).toMatchObject([0, { status: 'approved' }])
})
