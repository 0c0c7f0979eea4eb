import { copyFileSync, existsSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'

import Database from 'better-sqlite3'
import { expect, test } from 'vitest'

import { randomInt, seededRandom } from '../../../kernel/random.ts'
import { makeAgentsFile, settle, type AgentsFile } from '../../../../test/daemon/agents-file.ts'
import { openSearchWorld } from '../../../../test/daemon/search-world.ts'

const WORDS = ['alpha', 'beta', 'gamma', '東京都', '🚀', 'foo_bar', 'delta']

/** What chance does to the rows; answers the number of rows. */
function change({ program }: AgentsFile, random: ReturnType<typeof seededRandom>): void {
  const pick = <T>(list: readonly T[]): T => list[randomInt(random, list.length)] as T
  const table = pick(['messages', 'messages', 'tool_calls'])
  const column = table === 'messages' ? 'text' : pick(['input', 'output', 'tool_name', 'file_path', 'error'])
  const text = Array.from({ length: randomInt(random, 4) }, () => pick(WORDS)).join(' ')
  const id = `r${randomInt(random, 40)}`
  const time = pick<unknown>([
    null,
    5,
    5,
    5,
    randomInt(random, 1_000),
    1e12 + randomInt(random, 1_000),
    'soon',
    1.5,
    -3,
  ])
  const session = pick([null, 's', 't'])
  switch (randomInt(random, 7)) {
    case 0:
    case 1:
    case 2:
      program
        .prepare(
          `INSERT OR REPLACE INTO ${table} (id, session_id, ${column}, created_at) VALUES (?, ?, ?, ?)`,
        )
        .run(id, session, text, time)
      return
    case 3:
      program.prepare(`UPDATE ${table} SET ${column} = ? WHERE id = ?`).run(text, id)
      return
    case 4:
      program
        .prepare(`UPDATE OR IGNORE ${table} SET id = ?, created_at = ? WHERE id = ?`)
        .run(`r${randomInt(random, 40)}`, time, id)
      return
    case 5:
      program.prepare(`DELETE FROM ${table} WHERE id = ?`).run(id)
      return
    default:
      program
        .prepare(`UPDATE ${table} SET session_id = ?, created_at = ? WHERE id < ?`)
        .run(session, time, id.slice(0, 2))
  }
}

interface Row {
  readonly id: string
  readonly session: string | null
  readonly time: number
  readonly text: string
}
const rowsOf = ({ program }: AgentsFile, kind: 'message' | 'tool_call'): readonly Row[] =>
  program
    .prepare(
      kind === 'message'
        ? `SELECT id, session_id AS session, CASE WHEN typeof(created_at) IN ('integer', 'real') THEN created_at ELSE 0 END AS time, ' ' || coalesce(text, '') || ' ' AS text FROM messages`
        : `SELECT id, session_id AS session, CASE WHEN typeof(created_at) IN ('integer', 'real') THEN created_at ELSE 0 END AS time,
           ' ' || coalesce(tool_name, '') || ' ' || coalesce(file_path, '') || ' ' || coalesce(error, '') || ' ' || coalesce(input, '') || ' ' || coalesce(output, '') || ' ' AS text FROM tool_calls`,
    )
    .all() as Row[]

async function check(agents: AgentsFile, world: ReturnType<typeof openSearchWorld>): Promise<void> {
  for (const kind of ['message', 'tool_call'] as const) {
    const rows = rowsOf(agents, kind)
    for (const word of [...WORDS, 'gamma*', 'bar', '京']) {
      const looked = word.replace('*', '')
      const expected = rows.filter(({ text }) => text.includes(looked))
      const found = await world.all({ q: word, kind, limit: 3 })
      expect(new Set(found), `${kind} ${word}`).toEqual(new Set(expected.map(({ id }) => id)))
      expect(found.length, 'no hit twice').toBe(expected.length)
      // Rows of one millisecond may take numbers of the next ones.
      const times = found.map((id) => Math.max(0, rows.find((row) => row.id === id)?.time ?? 0))
      times.forEach((time, at) =>
        expect(time, 'newest first').toBeGreaterThanOrEqual((times[at + 1] ?? 0) - 40),
      )
      const inSession = await world.all({ q: word, kind, session_id: 's' })
      expect(new Set(inSession)).toEqual(
        new Set(expected.filter(({ session }) => session === 's').map(({ id }) => id)),
      )
    }
  }
}

test.each([1, 2])('D5: the index is what the rows are, whatever happened, seed %i', async (seed) => {
  using agents = makeAgentsFile()
  const random = seededRandom(seed)
  for (let life = 0; life < 8; life++) {
    for (let count = 0; count < 30; count++) change(agents, random)
    const file = `${agents.folder}/search.db`
    if (life === 3) for (const end of ['', '-wal', '-shm']) rmSync(file + end, { force: true })
    if (life === 5) truncateSync(file, 3 * 4_096)
    using world = openSearchWorld(agents, { seed: seed * 100 + life })
    // Killed in the middle of its work, mostly.
    agents.clock.elapse(250)
    await settle(randomInt(random, 4))
    for (let count = 0; count < 10; count++) change(agents, random)
    agents.clock.elapse(250)
    await settle(randomInt(random, 6))
    if (life % 2 === 0) continue
    await world.catchUp()
    await check(agents, world)
  }
})

test('shards that grow too large by rows of no order are split, and those in order are not', async () => {
  using agents = makeAgentsFile()
  using world = openSearchWorld(agents, { shard: 10 })
  await world.catchUp()
  const random = seededRandom(4)
  const insert = agents.program.prepare("INSERT INTO messages (id, text, created_at) VALUES (?, 'word', ?)")
  for (let at = 0; at < 30; at++) insert.run(`a${at}`, 1_000 + at)
  await world.catchUp()
  const sizes = () => {
    using database = openRead(world.file)
    return database.prepare('SELECT documents FROM shards ORDER BY lowest').pluck().all() as number[]
  }
  expect(sizes()).toEqual([10, 10, 10])
  // Into a gap, from its upper end down: not each into a shard of its own.
  for (let at = 30; at > 0; at--) insert.run(`late${at}`, 5_000 + at)
  await world.catchUp()
  for (let at = 60; at > 45; at--) {
    insert.run(`later${at}`, 2_000 + at)
    await world.catchUp()
  }
  expect(sizes().length).toBeLessThanOrEqual(9)
  agents.program.exec("DELETE FROM messages WHERE id LIKE 'late%'")
  for (let at = 0; at < 120; at++) insert.run(`b${at}`, randomInt(random, 900))
  await world.catchUp()
  await settle(200)
  expect(sizes().reduce((a, b) => a + b)).toBe(150)
  expect(Math.max(...sizes())).toBeLessThanOrEqual(20)
  expect(new Set(await world.all({ q: 'word', limit: 7 })).size).toBe(150)
})

test('rows that are there already are indexed newest first, and search says that it is not whole meanwhile', async () => {
  using agents = makeAgentsFile()
  const insert = agents.program.prepare("INSERT INTO messages (id, text, created_at) VALUES (?, 'word', ?)")
  agents.program.transaction(() => {
    for (let at = 0; at < 450; at++) insert.run(`m${at}`, at)
    for (let at = 0; at < 150; at++) insert.run(`n${at}`, null)
  })()
  agents.program.exec('DELETE FROM local_changes')
  {
    using world = openSearchWorld(agents, { shard: 1_000 })
    await settle(3)
    const page = await world.ask({ q: 'word', limit: 1 })
    expect(page).toMatchObject({ indexed: false, hits: [{ id: 'm449' }] })
    expect((await world.all({ q: 'word' })).length).toBeLessThan(600)
  }
  using world = openSearchWorld(agents, { shard: 1_000 })
  insert.run('new', 1_000)
  agents.clock.elapse(250)
  await settle(2)
  // What is new does not wait for what is old.
  expect((await world.ask({ q: 'word', limit: 1 })).hits[0]?.id).toBe('new')
  await world.catchUp()
  expect(await world.all({ q: 'word' })).toHaveLength(601)
  expect((await world.ask({ q: 'word' })).indexed).toBe(true)
})

test('a cursor goes on where it was, whatever comes and goes meanwhile', async () => {
  using agents = makeAgentsFile()
  using world = openSearchWorld(agents)
  const insert = agents.program.prepare("INSERT INTO messages (id, text, created_at) VALUES (?, 'word', ?)")
  for (let at = 10; at < 20; at++) insert.run(`m${at}`, at)
  await world.catchUp()
  const first = await world.ask({ q: 'word', limit: 4 })
  expect(first.hits.map(({ id }) => id)).toEqual(['m19', 'm18', 'm17', 'm16'])
  insert.run('later', 100)
  agents.program.exec("DELETE FROM messages WHERE id IN ('m16', 'm14')")
  await world.catchUp()
  const second = await world.ask({ q: 'word', limit: 4, cursor: first.next ?? '' })
  expect(second.hits.map(({ id }) => id)).toEqual(['m15', 'm13', 'm12', 'm11'])
  const last = await world.ask({ q: 'word', limit: 4, cursor: second.next ?? '' })
  expect(last).toMatchObject({ hits: [{ id: 'm10' }], next: null })
  for (const cursor of ['x', 'n', 'n-1', 'nzzzzzzzzzzzzzzzz', 'N1', 'n1.5']) {
    await expect(world.ask({ q: 'word', cursor })).rejects.toThrow(/cursor/)
  }
})

test('a hit tells its session, kind and place; of what is gone nothing is told', async () => {
  using agents = makeAgentsFile()
  using world = openSearchWorld(agents)
  agents.program.exec(`
    INSERT INTO sessions (id, title) VALUES ('s', 'Title');
    INSERT INTO messages (id, session_id, role, text, created_at) VALUES ('m', 's', 'user', 'find the needle', 7);
    INSERT INTO tool_calls (id, session_id, tool_name, input, output, file_path, created_at)
      VALUES ('t', 's', 'Write', '{"content":"one\\nneedle\\u0020two"}', 'done', 'src/a.ts', 8);
    INSERT INTO messages (id, role, text, created_at) VALUES ('odd', x'00', 'needle', 'then');`)
  await world.catchUp()
  const { hits } = await world.ask({ q: 'needle' })
  expect(hits).toEqual([
    {
      kind: 'tool_call',
      id: 't',
      session_id: 's',
      session_title: 'Title',
      role: null,
      tool_name: 'Write',
      created_at: 8,
      snippet: '{"content":"one \u0002needle\u0003 two"}',
    },
    {
      kind: 'message',
      id: 'm',
      session_id: 's',
      session_title: 'Title',
      role: 'user',
      tool_name: null,
      created_at: 7,
      snippet: 'find the \u0002needle\u0003',
    },
    expect.objectContaining({ id: 'odd', session_id: null, role: null, created_at: null }),
  ])
  // Words of two columns never stand in a row; those of one row count together.
  expect(await world.all({ q: '"a.ts content"' })).toEqual([])
  expect(await world.all({ q: 'needle done' })).toEqual(['t'])
  expect(await world.all({ q: 'kmessage' })).toEqual([])
  agents.program.exec("DELETE FROM messages WHERE id = 'm'")
  expect(await world.all({ q: 'needle' })).toEqual(['t', 'odd'])
  expect(await world.all({ q: 'needle', session_id: 's' })).toEqual(['t'])
  agents.program.exec("UPDATE tool_calls SET session_id = 'u'")
  expect(await world.all({ q: 'needle', session_id: 's' })).toEqual([])
})

test('long texts are indexed to a bound, whatever is in them', async () => {
  using agents = makeAgentsFile()
  using world = openSearchWorld(agents)
  await world.catchUp()
  const insert = agents.program.prepare('INSERT INTO messages (id, text) VALUES (?, ?)')
  insert.run('long', `start ${'filler text '.repeat(700_000)} end`)
  insert.run('nul', 'before\0behind')
  insert.run('number', 12_345)
  insert.run('blob', Buffer.from('blobbed'))
  agents.program.exec(
    "INSERT INTO messages (id, text) VALUES ('broken', CAST(x'C3286f6b20ED A0 80'||'' AS TEXT))".replace(
      'ED A0 80',
      'EDA080',
    ),
  )
  await world.catchUp()
  expect(await world.all({ q: 'start' })).toEqual(['long'])
  expect(await world.all({ q: 'end' })).toEqual([])
  expect(await world.all({ q: 'behind' })).toEqual(['nul'])
  expect(await world.all({ q: '12345' })).toEqual(['number'])
  expect(await world.all({ q: 'blobbed' })).toEqual([])
  expect(await world.all({ q: 'ok' })).toEqual(['broken'])
})

test('search.db is for its owner only, and is made again when it is another level, damaged, or taken away', async () => {
  using agents = makeAgentsFile()
  agents.program.exec("INSERT INTO messages (id, text) VALUES ('m', 'word')")
  const file = `${agents.folder}/search.db`
  const spoil: readonly (() => void)[] = [
    () => {},
    () => writeFileSync(file, 'no database at all, '.repeat(1_000)),
    () => {
      const database = new Database(file)
      database.pragma('user_version = 99')
      database.close()
    },
    () => rmSync(file),
    () => writeFileSync(file, ''),
  ]
  for (const put of spoil) {
    put()
    using world = openSearchWorld(agents)
    await world.catchUp()
    expect(await world.all({ q: 'word' })).toEqual(['m'])
    expect(statSync(file).mode & 0o777).toBe(0o600)
  }
  using world = openSearchWorld(agents)
  await world.catchUp()
  for (const end of ['', '-wal', '-shm']) rmSync(file + end, { force: true })
  expect(await world.ask({ q: 'word' })).toMatchObject({ indexed: false })
  await world.catchUp()
  expect(await world.all({ q: 'word' })).toEqual(['m'])
})

test('D5: a line is deleted only when what was made of it would outlive a power cut', async () => {
  using agents = makeAgentsFile()
  using world = openSearchWorld(agents)
  await world.catchUp()
  // Another reader, which is never behind.
  world.feed.register(() => world.feed.end())
  const insert = agents.program.prepare("INSERT INTO messages (id, text) VALUES (?, 'word')")
  for (let at = 0; at < 5; at++) insert.run(`m${at}`)
  await world.catchUp()
  const lines = () => Number(agents.program.prepare('SELECT count(*) FROM local_changes').pluck().get())
  const before = lines()
  const copy = `${agents.folder}/copy.db`
  copyFileSync(world.file, copy)
  agents.clock.elapse(120_000)
  expect(lines()).toBe(before)
  world.feed.wake()
  await settle()
  agents.clock.elapse(61_000)
  expect(lines()).toBe(1)
  // A new one keeps what comes after its beginning, too.
  for (const end of ['', '-wal', '-shm']) rmSync(world.file + end, { force: true })
  world.feed.wake()
  await settle(3)
  insert.run('late')
  agents.clock.elapse(61_000)
  expect(lines()).toBe(2)
  await world.catchUp()
  agents.clock.elapse(61_000)
  // The file alone, without what was not waited for, knows its place now.
  copyFileSync(world.file, copy)
  using database = openRead(copy)
  expect(database.prepare('SELECT seq FROM bookmark').pluck().get()).toBe(world.feed.end().seq)
})

test.each(['BEFORE INSERT ON documents', 'BEFORE UPDATE ON bookmark'])(
  'D5: what fails half-way, %s, is undone and done again',
  async (when) => {
    using agents = makeAgentsFile()
    using world = openSearchWorld(agents)
    await world.catchUp()
    const full = new Database(world.file)
    full.exec(`CREATE TRIGGER full ${when} BEGIN SELECT RAISE(ABORT, 'full'); END`)
    agents.program.exec(
      "INSERT INTO messages (id, text) VALUES ('a', 'word'), ('b', 'word'); UPDATE messages SET text = 'other' WHERE id = 'a'",
    )
    agents.clock.elapse(250)
    await settle()
    expect(await world.ask({ q: 'word' })).toMatchObject({ hits: [], indexed: false })
    full.exec('DROP TRIGGER full')
    full.close()
    await world.catchUp()
    expect(await world.all({ q: 'word' })).toEqual(['b'])
    expect(await world.all({ q: 'other' })).toEqual(['a'])
  },
)

test('agents.db replaced by another state of it is read anew', async () => {
  using agents = makeAgentsFile()
  agents.program.exec("INSERT INTO messages (id, text) VALUES ('a', 'word')")
  agents.program.pragma('wal_checkpoint(TRUNCATE)')
  copyFileSync(agents.file, `${agents.file}.old`)
  using world = openSearchWorld(agents)
  agents.program.exec("INSERT INTO messages (id, text) VALUES ('b', 'word'), ('c', 'word')")
  await world.catchUp()
  agents.program.close()
  for (const end of ['', '-wal', '-shm']) rmSync(agents.file + end, { force: true })
  copyFileSync(`${agents.file}.old`, agents.file)
  agents.open().exec("INSERT INTO messages (id, text) VALUES ('d', 'word'), ('e', 'word'), ('f', 'word')")
  await world.catchUp()
  expect(new Set(await world.all({ q: 'word' }))).toEqual(new Set(['a', 'd', 'e', 'f']))
  expect(existsSync(world.file)).toBe(true)
})

test('a row is searchable within a look of being written, and at once by this process', async () => {
  using agents = makeAgentsFile()
  using world = openSearchWorld(agents)
  await world.catchUp()
  agents.program.exec("INSERT INTO messages (id, text) VALUES ('a', 'word')")
  agents.clock.elapse(250)
  await settle(3)
  expect(await world.all({ q: 'word' })).toEqual(['a'])
  agents.program.exec("INSERT INTO messages (id, text) VALUES ('b', 'other')")
  world.feed.wake()
  expect((await world.ask({ q: 'other' })).indexed).toBe(false)
  await settle(3)
  expect(await world.all({ q: 'other' })).toEqual(['b'])
  expect(agents.clock.pending.length).toBe(1)
})

function openRead(file: string) {
  const database = new Database(file, { readonly: true })
  return Object.assign(database, { [Symbol.dispose]: () => void database.close() })
}
