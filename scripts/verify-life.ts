import { spawn } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { cleanEnvironment, NO_WARNINGS, runProgram } from './verify-tools.ts'

/** How long what another process does may take to be seen. */
const PATIENCE_MS = 20_000

/**
 * A short life of the installed package on the given Node: a cloud, a file, a copy of it that is kept in step, and off
 * sync again. Each command is a process of its own, as a person gives it. Rejects where one fails, where Node warns of
 * something, and where the two files differ.
 */
export async function checkLife(node: string, installed: string): Promise<void> {
  const folder = join(installed, 'life')
  await mkdir(folder)
  const bin = join(installed, 'node_modules/.bin/tidemark')
  const at = (home: string, ...args: readonly string[]) => [...NO_WARNINGS, bin, '--home', home, ...args]
  const tidemark = (...args: Parameters<typeof at>) => runProgram(node, at(...args), folder)
  const query = async (file: string, sql: string): Promise<string> =>
    (await runProgram(node, ['--input-type=module', '--eval', QUERY, file, sql], folder)).trim()

  await query('notes.db', 'CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT, share REAL)')
  await query('notes.db', `INSERT INTO notes VALUES (1, 'one', 0.5), (9007199254740993, 'naïve', -0.0)`)
  await query('notes.db', `VACUUM INTO 'look.db'`)
  const look = await tidemark('look', 'up', '--file', 'look.db', '--until-equal', '--yes', '--port', '0')
  requireText(look, 'Equal: 2 rows', 'tidemark up')
  await runProgram(node, ['--input-type=module', '--eval', DRIVER], folder)

  await using cloud = start(node, at('cloud', '--json', 'cloud', '--data', 'data', '--port', '0'), folder)
  const { url } = JSON.parse(await cloud.said('}')) as { readonly url: string }
  const token = (await tidemark('cloud', '--quiet', 'cloud', 'token', 'create', '--data', 'data')).trim()
  for (const home of ['one', 'two']) {
    await tidemark(home, 'config', 'set', 'endpoint', url)
    await tidemark(home, 'config', 'set', 'token', token)
  }
  await tidemark('one', 'attach', 'notes.db', '--space', 'notes', '--yes')
  await tidemark('two', 'clone', 'notes', 'copy.db')
  {
    await using running = start(node, at('two', 'run'), folder)
    await running.said('Keeping in step')
    await query('notes.db', `UPDATE notes SET text = 'two' WHERE id = 1`)
    await tidemark('one', 'sync', 'now')
    await until('the change is in the copy', async () => {
      const text = await query('copy.db', 'SELECT text FROM notes WHERE id = 1')
      return text === '[["two"]]'
    })
  }
  requireText(await tidemark('two', 'sync', 'status'), 'copy.db', 'tidemark sync status')
  const all = 'SELECT typeof(id), id, text, hex(share) FROM notes ORDER BY id'
  const rows = [await query('notes.db', all), await query('copy.db', all)]
  if (rows[0] !== rows[1]) throw new Error(`The files differ:\n${rows.join('\n')}`)
  for (const [home, file] of [
    ['one', 'notes.db'],
    ['two', 'copy.db'],
  ] as const) {
    await tidemark(home, 'detach', file, '--yes')
    const left = await query(file, `SELECT name FROM sqlite_schema WHERE name LIKE '%tidemark%'`)
    if (left !== '[]') throw new Error(`tidemark detach left in ${file}: ${left}`)
  }
  await runProgram(node, [...NO_WARNINGS, '--input-type=module', '--eval', LIBRARY, url, token], folder)
}

/** Prints the rows of a statement as JSON, integers exactly. */
const QUERY = `
  import Database from 'better-sqlite3'
  const [, file, sql] = process.argv
  const statement = new Database(file).defaultSafeIntegers().prepare(sql)
  const rows = statement.reader ? statement.raw().all() : [statement.run()].slice(1)
  console.log(JSON.stringify(rows, (_, value) => typeof value === 'bigint' ? String(value) : value))
`

/** Two applications that have the library, each with a database of its own. */
const LIBRARY = `
  import assert from 'node:assert'
  import Database from 'better-sqlite3'
  import { createSyncManager } from 'tidemark'
  const [, endpoint, token] = process.argv
  const open = async (name) => {
    const database = new Database(name + '.db')
    database.exec('CREATE TABLE tasks (id TEXT PRIMARY KEY, text TEXT)')
    const manager = await createSyncManager(database, { endpoint, token, home: name, environment: {} })
    return { database, manager }
  }
  const [here, there] = [await open('here'), await open('there')]
  here.database.exec("INSERT INTO tasks VALUES ('1', 'one')")
  for (const { manager } of [here, there, here]) await manager.sync()
  assert.deepStrictEqual(there.database.prepare('SELECT * FROM tasks').all(), [{ id: '1', text: 'one' }])
  for (const { manager } of [here, there]) await manager[Symbol.asyncDispose]()
`

/** node:sqlite as the package has it: exact, or refused in words where this Node's own is not. */
const DRIVER = `
  import { nodeSqlite } from 'tidemark/sqlite'
  try {
    const connection = nodeSqlite.open(':memory:')
    if (connection.value("SELECT 'a' || char(0) || 'b'") !== 'a\\0b') throw new Error('text is cut')
    connection.close()
  } catch (error) {
    if (error.code !== 'node_sqlite_too_old') throw error
  }
`

function requireText(said: string, text: string, command: string): void {
  if (!said.includes(text)) throw new Error(`${command} did not say "${text}":\n${said}`)
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; !(await holds()); await sleep(100)) {
    if (performance.now() > end) throw new Error(`Not within ${PATIENCE_MS / 1000} s: ${what}`)
  }
}

interface Started extends AsyncDisposable {
  /** Resolves with all of its output once that holds the text. */
  said(text: string): Promise<string>
}

/** A command as a person would give it. */
const shown = (args: readonly string[]): string => args.slice(args.indexOf('--home') + 2).join(' ')

/** A command that goes on until the end of the block, where it is stopped as by Ctrl-C and must end well. */
function start(node: string, args: readonly string[], cwd: string): Started {
  const child = spawn(node, args, { cwd, env: cleanEnvironment(), stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  let err = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text))
  const ended = new Promise<number | null>((resolve) => {
    child.once('error', (error) => {
      err += error.message
      resolve(null)
    })
    child.once('close', resolve)
  })
  const failed = () => new Error(`tidemark ${shown(args)} failed: ${out}${err}`)
  return {
    async said(text) {
      await until(`"${text}" said by tidemark ${shown(args)}`, () => {
        if (child.exitCode !== null) throw failed()
        return Promise.resolve(out.includes(text))
      })
      return out
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGINT')
      if ((await ended) !== 0) throw failed()
    },
  }
}
