import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { TidemarkError } from '../../../kernel/errors.ts'
import { codeOf } from '../../../testing/log-contract/harness.ts'
import { GroupCommit } from './group-commit.ts'

describe('GroupCommit', () => {
  let statements: string[] = []
  let forgotten = 0
  let database: Database.Database
  let queue: GroupCommit

  beforeEach(() => {
    database = new Database(':memory:', { verbose: (sql) => statements.push(String(sql)) })
    database.exec('CREATE TABLE t (x TEXT)')
    statements = []
    forgotten = 0
    queue = new GroupCommit(database, () => forgotten++)
  })
  afterEach(() => database.close())

  const insert = (x: string) => () => database.prepare('INSERT INTO t (x) VALUES (?)').run(x).changes
  const rows = () => database.prepare<[], string>('SELECT x FROM t ORDER BY rowid').pluck().all()
  const commits = () => statements.filter((sql) => sql === 'COMMIT').length

  test('what arrives together is committed together', async () => {
    const answers = await Promise.all(['a', 'b', 'c'].map((x) => queue.add(insert(x))))
    expect(answers).toEqual([1, 1, 1])
    expect(rows()).toEqual(['a', 'b', 'c'])
    expect(commits()).toBe(1)
  })

  test('nothing is answered before it is committed', async () => {
    let committed: number | null = null
    await queue.add(insert('a')).then(() => (committed = commits()))
    expect(committed).toBe(1)
  })

  test('I9: a job that throws is undone alone', async () => {
    const refuse = () => {
      insert('half')()
      throw new TidemarkError('replica_forked')
    }
    const [before, failed, after] = await Promise.allSettled([
      queue.add(insert('a')),
      queue.add(refuse),
      queue.add(insert('b')),
    ])
    expect([before?.status, failed?.status, after?.status]).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(rows()).toEqual(['a', 'b'])
    expect(commits()).toBe(1)
    expect(forgotten).toBe(1)
  })

  test('what is not an error of ours becomes one, with its cause', async () => {
    const broken = queue.add(() => {
      throw new RangeError('odd')
    })
    await expect(broken).rejects.toMatchObject({ code: 'internal', cause: { message: 'odd' } })
  })

  test('a commit is bounded in jobs and in weight', async () => {
    await Promise.all(Array.from({ length: 130 }, (_, at) => queue.add(insert(`${at}`))))
    expect(commits()).toBe(3)
    statements = []
    await Promise.all(Array.from({ length: 4 }, (_, at) => queue.add(insert(`${at}`), 3_000_000)))
    expect(commits()).toBe(4)
  })

  test('out of room: the one that does not fit is refused, the others are done', async () => {
    database.pragma('max_page_count = 50')
    const large = 'x'.repeat(400_000)
    const jobs = [queue.add(insert('a')), queue.add(insert(large)), queue.add(insert('b'))]
    const settled = await Promise.allSettled(jobs)
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(await codeOf(jobs[1] as Promise<unknown>)).toBe('disk_full')
    expect(rows()).toEqual(['a', 'b'])
    expect(await codeOf(queue.add(insert(large)))).toBe('disk_full')
    database.pragma('max_page_count = 5000')
    expect(await queue.add(insert(large))).toBe(1)
  })

  test('drain waits for what is under way', async () => {
    const done: string[] = []
    void queue.add(insert('a')).then(() => done.push('a'))
    void queue.add(insert('b')).then(() => done.push('b'))
    await queue.drain()
    await queue.drain()
    expect(done).toEqual(['a', 'b'])
  })
})
