import { afterEach, describe, expect, test } from 'vitest'

import { createHandler } from '../../src/cloud/handler/handler.ts'
import { MemoryLog } from '../../src/cloud/log/memory.ts'
import { undoEntry } from '../../src/engine/conflicts.ts'
import { seededRandom } from '../../src/kernel/random.ts'
import { betterSqlite3 } from '../../src/stores/sqlite/driver/better-sqlite3.ts'
import { nodeSqlite } from '../../src/stores/sqlite/driver/node-sqlite.ts'
import { createDirectory } from '../../sim/directory.ts'
import { openDevice, STILL, type Device } from './pair/device.ts'

const SQL = 'CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL, n INTEGER)'
const RENAME = 'ALTER TABLE t RENAME COLUMN name TO title'
const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function openPair(driver: typeof betterSqlite3): Promise<{ readonly a: Device; readonly b: Device }> {
  const random = seededRandom(1)
  const log = new MemoryLog({ clock: STILL, random })
  const handler = createHandler({ log, directory: createDirectory(), clock: STILL, random })
  closers.push(async () => handler.stop())
  const open = async (name: string): Promise<Device> => {
    const device = await openDevice({ name, handler, driver, statements: [SQL], fails: () => false })
    closers.push(async () => device[Symbol.asyncDispose]())
    return device
  }
  const [a, b] = [await open('a'), await open('b')]
  a.edit(["INSERT INTO t VALUES (1, 'one', 1), (2, 'two', 2), (3, 'three', 3)"])
  await rest(a, b)
  return { a, b }
}

async function rest(...devices: readonly Device[]): Promise<void> {
  for (let round = 0; round < 4; round++) for (const device of devices) await device.sync()
  for (const { store } of devices) {
    expect((await store.readDirty({ rows: 10, bytes: 1e6 })).rows).toEqual([])
    expect(await store.listParked(10)).toEqual([])
  }
}

const titles = ({ app }: Device, column = 'title'): readonly string[] =>
  app
    .prepare(`SELECT id, ${column} FROM t ORDER BY id`)
    .all()
    .map(([id, title]) => `${String(id)} ${String(title)}`)

describe.each([betterSqlite3, nodeSqlite])('a column that one replica renamed ($name)', (driver) => {
  test('I1: keeps its values on both sides, and what an older replica writes is taken over', async () => {
    const { a, b } = await openPair(driver)
    a.edit([RENAME])
    await rest(a, b)
    expect(titles(a)).toEqual(['1 one', '2 two', '3 three'])
    expect(titles(b, 'name')).toEqual(['1 one', '2 two', '3 three'])
    b.edit(["UPDATE t SET name = 'two of b' WHERE id = 2", "INSERT INTO t VALUES (4, 'four of b', 4)"])
    await rest(b, a)
    expect(titles(a)).toEqual(['1 one', '2 two of b', '3 three', '4 four of b'])
    b.edit(["UPDATE t SET name = 'two again' WHERE id = 2", 'UPDATE t SET n = 9 WHERE id = 3'])
    await rest(a, b)
    expect(titles(a)).toEqual(['1 one', '2 two again', '3 three', '4 four of b'])
    for (const { store } of [a, b]) expect(await store.listInbox({})).toEqual([])
    b.edit([RENAME])
    await rest(a, b)
    expect(b.rows('t')).toEqual(a.rows('t'))
    expect(titles(b)).toEqual(['1 one', '2 two again', '3 three', '4 four of b'])
  })

  test('I1: a replica that migrates later takes what was written under the new name', async () => {
    const { a, b } = await openPair(driver)
    a.edit([RENAME, "UPDATE t SET title = 'one of a' WHERE id = 1"])
    await rest(a, b)
    a.edit(["UPDATE t SET title = 'two of a' WHERE id = 2", 'DELETE FROM t WHERE id = 3'])
    await rest(a, b)
    b.edit([RENAME])
    await rest(b, a)
    expect(titles(a)).toEqual(['1 one of a', '2 two of a'])
    expect(b.rows('t')).toEqual(a.rows('t'))
    for (const { store } of [a, b]) expect(await store.listInbox({})).toEqual([])
  })

  test('I1: nothing stale overwrites an edit where both migrate unseen', async () => {
    const { a, b } = await openPair(driver)
    a.edit([RENAME, "UPDATE t SET title = 'one of a' WHERE id = 1"])
    b.edit([RENAME, "UPDATE t SET title = 'two of b' WHERE id = 2"])
    await rest(a, b)
    expect(titles(a)).toEqual(['1 one of a', '2 two of b', '3 three'])
    expect(b.rows('t')).toEqual(a.rows('t'))
  })

  test('I7: both wrote it, under either name: one stands, both are in an inbox, and undo brings the other', async () => {
    const { a, b } = await openPair(driver)
    a.edit([RENAME])
    await rest(a, b)
    a.edit(["UPDATE t SET title = 'one of a' WHERE id = 1"])
    await rest(a)
    b.edit(["UPDATE t SET name = 'one of b' WHERE id = 1"])
    await rest(b, a)
    expect(titles(a)).toEqual(['1 one of b', '2 two', '3 three'])
    const [entry] = await a.store.listInbox({ open: true })
    expect(entry).toMatchObject({ columns: ['title'], by: 'renamed column', chosen: 'local' })
    expect([entry?.local?.['title'], entry?.remote?.fields?.['title']]).toEqual(['one of b', 'one of a'])
    await undoEntry(a.store, entry?.id ?? '')
    await rest(a, b)
    expect(titles(a)).toEqual(['1 one of a', '2 two', '3 three'])
    b.edit([RENAME])
    await rest(a, b)
    expect(b.rows('t')).toEqual(a.rows('t'))
    expect(titles(b)).toEqual(['1 one of a', '2 two', '3 three'])
  })

  test('I7: an edit that was not sent meets one under the old name', async () => {
    const { a, b } = await openPair(driver)
    a.edit([RENAME])
    await rest(a, b)
    b.edit(["UPDATE t SET name = 'one of b' WHERE id = 1"])
    await b.sync()
    a.edit(["UPDATE t SET title = 'one of a' WHERE id = 1"])
    await rest(a, b)
    expect(titles(a)).toEqual(['1 one of a', '2 two', '3 three'])
    const [entry] = await a.store.listInbox({ open: true })
    expect([entry?.local?.['title'], entry?.remote?.fields?.['title']]).toEqual(['one of a', 'one of b'])
  })

  test('I1, I7: what a replica wrote under the old name and had not sent when it migrated stands', async () => {
    const { a, b } = await openPair(driver)
    a.edit([RENAME])
    await rest(a, b)
    a.edit(["UPDATE t SET title = 'one of a' WHERE id = 1"])
    await rest(a, b)
    b.edit(["UPDATE t SET name = 'one of b' WHERE id = 1", RENAME])
    await rest(b, a)
    expect(titles(a)).toEqual(['1 one of b', '2 two', '3 three'])
    expect(b.rows('t')).toEqual(a.rows('t'))
    const [entry] = await b.store.listInbox({ open: true })
    expect([entry?.local?.['title'], entry?.remote?.fields?.['title']]).toEqual(['one of b', 'one of a'])
  })

  test('renamed twice, and back', async () => {
    const { a, b } = await openPair(driver)
    a.edit([RENAME])
    await rest(a, b)
    a.edit(['ALTER TABLE t RENAME COLUMN title TO label', 'ALTER TABLE t ADD COLUMN more TEXT'])
    await rest(a, b)
    b.edit(["UPDATE t SET name = 'three of b' WHERE id = 3"])
    await rest(b, a)
    expect(titles(a, 'label')).toEqual(['1 one', '2 two', '3 three of b'])
    a.edit(["UPDATE t SET label = 'one of a' WHERE id = 1", 'ALTER TABLE t RENAME COLUMN label TO name'])
    await rest(a, b)
    expect(titles(a, 'name')).toEqual(['1 one of a', '2 two', '3 three of b'])
    expect(titles(b, 'name')).toEqual(titles(a, 'name'))
  })

  test('a column dropped and another one added in its place is no renamed one', async () => {
    const { a, b } = await openPair(driver)
    a.edit(['ALTER TABLE t DROP COLUMN n', 'ALTER TABLE t ADD COLUMN m INTEGER'])
    await rest(a, b)
    b.edit(['UPDATE t SET n = 7 WHERE id = 1'])
    await rest(b, a)
    expect(titles(a, 'm')).toEqual(['1 null', '2 null', '3 null'])
  })
})
