import { appendFileSync } from 'node:fs'

import Database from 'better-sqlite3'

/**
 * An application that writes while everything around it is killed. Usage: writer.ts FILE NAME LOG. After each
 * commit it appends what it committed to LOG, so that the truth is known outside every database. Ends on SIGTERM.
 */
const [file, name, log] = process.argv.slice(2) as [string, string, string]
const database = new Database(file, { timeout: 30_000 })
database.pragma('foreign_keys = ON')
const addNote = database.prepare('INSERT INTO notes (id, owner, body, n) VALUES (?, ?, ?, ?)')
const editNote = database.prepare('UPDATE notes SET body = ?, n = n + 1 WHERE id = ?')
const removeNote = database.prepare('DELETE FROM notes WHERE id = ?')
const addEvent = database.prepare('INSERT INTO events (token, note) VALUES (?, ?)')
const shared = database.prepare('UPDATE shared SET value = ? WHERE id = ?')

let running = true
process.on('SIGTERM', () => (running = false))

const own: string[] = []
for (let at = 0; running; at++) {
  const lines: string[] = []
  database
    .transaction(() => {
      const id = `${name}-${at}`
      addNote.run(id, name, `made ${at}`, 0)
      addEvent.run(`${name}:${at}`, id)
      lines.push(`note ${id} made ${at}`, `event ${name}:${at}`)
      own.push(id)
      const other = own[(at * 7) % own.length]
      if (other !== undefined && other !== id) {
        editNote.run(`edited ${at}`, other)
        lines.push(`note ${other} edited ${at}`)
      }
      if (at % 11 === 10) {
        const gone = own.shift()
        if (gone !== undefined) {
          removeNote.run(gone)
          lines.push(`gone ${gone}`)
        }
      }
      shared.run(`${name} ${at}`, at % 5)
    })
    .immediate()
  appendFileSync(log, lines.map((line) => `${line}\n`).join(''))
  await new Promise((resolve) => setTimeout(resolve, 2 + (at % 9)))
}
database.close()
