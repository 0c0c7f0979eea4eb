import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

import Database from 'better-sqlite3'
import { expect, test } from 'vitest'

import { randomInt, seededRandom } from '../../src/kernel/random.ts'
import { makeAgentsFile } from './agents-file.ts'

const start = (folder: string): ChildProcess =>
  spawn(process.execPath, [join(import.meta.dirname, 'readers-child.ts'), folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })

test('D5: readers that are killed again and again while rows are written lose no change', async () => {
  using agents = makeAgentsFile()
  const random = seededRandom(5)
  // The first start is where events begin.
  const first = start(agents.folder)
  await once(first.stdout ?? first, 'data')
  first.kill('SIGKILL')
  await once(first, 'exit')

  // Whoever is killed lets go of its locks only when it is gone.
  agents.program.pragma('busy_timeout = 10000')
  const written = new Set<string>()
  const insert = agents.program.prepare("INSERT OR IGNORE INTO messages (id, text) VALUES (?, 'first word')")
  const update = agents.program.prepare('UPDATE messages SET text = ? WHERE id = ?')
  const remove = agents.program.prepare('DELETE FROM messages WHERE id = ?')
  const write = agents.program.transaction(() => {
    for (let count = 0; count < 20; count++) {
      const id = `m${randomInt(random, 3_000)}`
      if (insert.run(id).changes > 0) written.add(`message_created ${id}`)
      else if (random.next() < 0.7) {
        update.run(`word w${randomInt(random, 50)}`, id)
        written.add(`message_updated ${id}`)
      } else {
        remove.run(id)
        written.add(`message_deleted ${id}`)
      }
    }
  })
  for (let life = 0; life < 8; life++) {
    const child = start(agents.folder)
    const exited = once(child, 'exit')
    let alive = true
    void pause(500 + randomInt(random, 700)).then(() => {
      alive = false
      child.kill('SIGKILL')
    })
    while (alive) {
      write.immediate()
      await pause(3)
    }
    await exited
  }
  const last = start(agents.folder)
  await once(last.stdout ?? last, 'data')
  await pause(600)
  last.kill('SIGKILL')
  await once(last, 'exit')

  const daemon = new Database(join(agents.folder, 'daemon.db'))
  const search = new Database(join(agents.folder, 'search.db'))
  try {
    const events = daemon.prepare("SELECT type || ' ' || record_id FROM events").pluck().all()
    expect(events).not.toContain('reset ')
    expect([...written].filter((one) => !events.includes(one))).toEqual([])
    const rows = agents.program.prepare('SELECT id FROM messages ORDER BY id').pluck().all()
    expect(search.prepare('SELECT id FROM documents ORDER BY id').pluck().all()).toEqual(rows)
    const shards = search.prepare('SELECT id FROM shards').pluck().all() as number[]
    const count = (match: string) =>
      shards.reduce(
        (sum, id) =>
          sum +
          Number(
            search.prepare(`SELECT count(*) FROM words_${id} WHERE words_${id} MATCH ?`).pluck().get(match),
          ),
        0,
      )
    for (const word of ['first', 'w7', 'w23']) {
      const found = agents.program
        .prepare("SELECT count(*) FROM messages WHERE ' ' || text || ' ' LIKE ?")
        .pluck()
      expect(count(`body : "${word}"`), word).toBe(found.get(`% ${word} %`))
    }
  } finally {
    daemon.close()
    search.close()
  }
})
