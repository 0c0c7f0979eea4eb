import { copyFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'

import { expect, test } from 'vitest'

import { silentLogger } from '../../kernel/logger.ts'
import { makeAgentsFile, type AgentsFile } from '../../../test/daemon/agents-file.ts'
import { bookmarkOf, openChangeFeed, type Bookmark } from './change-feed.ts'

const feedOf = ({ open, clock }: AgentsFile) => openChangeFeed({ open, clock, logger: silentLogger })

const addMessages = ({ program }: AgentsFile, ...ids: readonly string[]): void => {
  for (const id of ids)
    program.prepare("INSERT INTO messages (id, session_id, text) VALUES (?, 's', 'x')").run(id)
}
const lines = ({ program }: AgentsFile): number =>
  Number(program.prepare('SELECT count(*) FROM local_changes').pluck().get())

test('D5: lines come in order, each page from where the one before ended', () => {
  using file = makeAgentsFile()
  using feed = feedOf(file)
  const start = feed.end()
  addMessages(file, 'a', 'b', 'c')
  file.program.exec("UPDATE messages SET id = 'd' WHERE id = 'a'; DELETE FROM messages WHERE id = 'b'")
  const first = feed.read(start, 4)
  expect(first?.rows.map(({ rowId, verb }) => [verb, rowId])).toEqual([
    ['insert', 'a'],
    ['insert', 'b'],
    ['insert', 'c'],
    ['delete', 'a'],
  ])
  expect(first?.rows[0]).toMatchObject({ table: 'messages', sessionId: 's' })
  const second = feed.read(first?.next ?? start, 4)
  expect(second?.rows.map(({ rowId, verb }) => [verb, rowId])).toEqual([
    ['insert', 'd'],
    ['delete', 'b'],
  ])
  const last = second?.next ?? start
  expect(feed.read(last, 4)).toEqual({ rows: [], next: last })
  const one = first?.rows[1]
  expect(one && feed.read(bookmarkOf(one), 1)?.rows[0]?.rowId).toBe('c')
})

test('rows that wait are counted once each, by table', () => {
  using file = makeAgentsFile()
  using feed = feedOf(file)
  const start = feed.end()
  addMessages(file, 'a', 'b')
  file.program.exec("UPDATE messages SET text = 'y'; INSERT INTO sessions (id) VALUES ('s')")
  expect(feed.waiting(start)).toEqual({ messages: 2, sessions: 1 })
})

test('a key that is no text names no row, and stops nobody', () => {
  using file = makeAgentsFile()
  using feed = feedOf(file)
  const start = feed.end()
  file.program.exec("INSERT INTO messages (id) VALUES (x'00ff'), ('a')")
  expect(feed.read(start, 1)?.rows).toEqual([])
  expect(feed.read(start, 2)?.rows.map(({ rowId }) => rowId)).toEqual(['a'])
})

test('who listens hears of another program within a look, of this process at once, and of nothing else', () => {
  using file = makeAgentsFile()
  using feed = feedOf(file)
  let heard = 0
  const off = feed.on(() => (heard += 1))
  file.clock.elapse(250)
  heard = 0
  file.clock.elapse(10_000)
  expect(heard).toBe(0)
  addMessages(file, 'a')
  file.clock.elapse(250)
  expect(heard).toBe(1)
  feed.wake()
  expect(heard).toBe(2)
  off()
  addMessages(file, 'b')
  file.clock.elapse(250)
  expect(heard).toBe(2)
})

test('lines are deleted when every registered reader has passed them, and the last one never', () => {
  using file = makeAgentsFile()
  using feed = feedOf(file)
  const start = feed.end()
  addMessages(file, ...Array.from({ length: 9 }, (_, at) => `m${at}`))
  const at = (count: number): Bookmark => feed.read(start, count)?.next ?? start
  const [slow, fast, all] = [at(3), at(6), at(9)]
  let first = start
  let second = start
  const off = feed.register(() => first)
  feed.register(() => second)
  feed.register(() => null)
  file.clock.elapse(61_000)
  expect(lines(file)).toBe(10)
  first = slow
  second = fast
  file.clock.elapse(61_000)
  expect(lines(file)).toBe(7)
  expect(feed.read(slow, 10)?.rows).toHaveLength(6)
  expect(feed.read(fast, 10)?.rows).toHaveLength(3)
  off()
  second = all
  file.clock.elapse(61_000)
  expect(lines(file)).toBe(1)
  expect(feed.read(all, 10)?.rows).toEqual([])
  expect(feed.read(fast, 10)).toBeNull()
})

test('a place beyond the end, of a newer copy, does not have the last line deleted', () => {
  using file = makeAgentsFile()
  using feed = feedOf(file)
  addMessages(file, 'a', 'b')
  feed.register(() => ({ seq: 1_000_000, mark: '' }))
  file.clock.elapse(61_000)
  expect(lines(file)).toBe(1)
})

test('much that was passed is deleted without waiting, in slices', () => {
  using file = makeAgentsFile()
  using feed = feedOf(file)
  let place = feed.end()
  feed.register(() => place)
  file.program.transaction(() => addMessages(file, ...Array.from({ length: 9_000 }, (_, at) => `m${at}`)))()
  place = feed.end()
  file.clock.elapse(250)
  expect(lines(file)).toBe(5_001)
  file.clock.elapse(500)
  expect(lines(file)).toBe(1)
})

test('a restored copy is noticed though its numbers have gone beyond the place since', () => {
  using file = makeAgentsFile()
  using feed = feedOf(file)
  addMessages(file, 'a')
  file.program.pragma('wal_checkpoint(TRUNCATE)')
  copyFileSync(file.file, `${file.file}.old`)
  addMessages(file, 'b', 'c')
  const place = feed.end()
  replace(file, () => renameSync(`${file.file}.old`, file.file))
  const program = file.open()
  for (const id of ['d', 'e', 'f']) program.prepare('INSERT INTO messages (id) VALUES (?)').run(id)
  expect(feed.read(place, 10)).toBeNull()
  expect(feed.waiting(place)).toBeNull()
  expect(feed.read(feed.end(), 10)?.rows).toEqual([])
})

test('an empty file in its place is noticed, also by a reader that had seen no line yet', () => {
  using file = makeAgentsFile()
  using feed = feedOf(file)
  const place = feed.end()
  replace(file, () => {})
  let heard = 0
  feed.on(() => (heard += 1))
  file.clock.elapse(250)
  expect(heard).toBe(1)
  expect(feed.read(place, 10)).toBeNull()
})

test('a file that is no database for a while stops nobody for good', () => {
  using file = makeAgentsFile()
  using feed = feedOf(file)
  const place = feed.end()
  replace(file, () => writeFileSync(file.file, 'no database at all, '.repeat(500)))
  expect(() => feed.read(place, 10)).toThrow()
  file.clock.elapse(1_000)
  replace(file, () => {})
  file.clock.elapse(250)
  expect(feed.read(place, 10)).toBeNull()
})

test('a database that another program holds locked is tried again, without waiting inside', () => {
  using file = makeAgentsFile()
  using feed = feedOf(file)
  let place = feed.end()
  feed.register(() => place)
  addMessages(file, ...Array.from({ length: 1_200 }, (_, at) => `m${at}`))
  place = feed.end()
  file.program.exec('BEGIN IMMEDIATE')
  file.clock.elapse(61_000)
  expect(lines(file)).toBe(1_201)
  expect(feed.read(place, 1)?.rows).toEqual([])
  file.program.exec('COMMIT')
  file.clock.elapse(250)
  expect(lines(file)).toBe(1)
})

test('what was closed asks for no time any more', () => {
  using file = makeAgentsFile()
  const feed = feedOf(file)
  feed[Symbol.dispose]()
  feed[Symbol.dispose]()
  expect(file.clock.pending).toEqual([])
})

function replace({ file, program }: AgentsFile, put: () => void): void {
  program.close()
  for (const end of ['', '-wal', '-shm']) rmSync(file + end, { force: true })
  put()
}
