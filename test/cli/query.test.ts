import { join } from 'node:path'

import Database from 'better-sqlite3'
import { expect, test } from 'vitest'

import { openAgentsDatabase } from '../../src/daemon/agents/database.ts'
import { layTable, type Cell } from '../../src/cli/table.ts'
import { fitText, textWidth } from '../../src/cli/text-width.ts'
import { openMachine } from '../command-line.ts'

const VALUES = `SELECT 9007199254740993 AS big, -5 AS id, 2.5 AS half, x'00ff' AS bytes, NULL AS none, 1e999 AS id,
  '' AS empty, 'a "quoted", word' AS text, '日本' AS wide, char(27) || '[31m' || char(10) || char(8238) AS evil`

test('the records of agents are read with SQL, as a table, as JSON and as CSV', async () => {
  await using machine = await openMachine()
  const absent = await machine.tidemark('query', 'SELECT 1')
  expect([absent.code, absent.err]).toEqual([1, expect.stringContaining('There is no such file')])
  const database = openAgentsDatabase(join(machine.folder, 'home', 'agents.db'))
  database.exec("INSERT INTO sessions (id, title, cost) VALUES ('s', 'a title', 1.5), ('t', NULL, NULL)")
  database.close()
  const table = await machine.tidemark('query', 'SELECT id, title, cost FROM sessions ORDER BY id')
  expect(table).toEqual({
    code: 0,
    err: '',
    out: 'id  title    cost\n--  -------  ----\ns   a title   1.5\nt   NULL     NULL\n2 rows\n',
  })
  expect((await machine.tidemark('-q', 'query', 'SELECT 1 AS a')).out).toBe('a\n-\n1\n')
  expect(await machine.ask('query', VALUES)).toEqual({
    columns: ['big', 'id', 'half', 'bytes', 'none', 'id_2', 'empty', 'text', 'wide', 'evil'],
    rows: [
      {
        big: { $int: '9007199254740993' },
        id: -5,
        half: 2.5,
        bytes: { $bytes: 'AP8=' },
        none: null,
        id_2: { $real: 'Infinity' },
        empty: '',
        text: 'a "quoted", word',
        wide: '日本',
        evil: '\u001b[31m\n\u202e',
      },
    ],
    cut: false,
  })
  expect((await machine.tidemark('query', '--csv', VALUES)).out).toBe(
    'big,id,half,bytes,none,id,empty,text,wide,evil\n' +
      '9007199254740993,-5,2.5,00ff,,Infinity,"","a ""quoted"", word",日本,"\u001b[31m\n\u202e"\n',
  )
})

test('an answer that is cut says so, and another file is read, never written', async () => {
  await using machine = await openMachine()
  const file = join(machine.folder, 'notes.db')
  const notes = new Database(file)
  notes.exec('CREATE TABLE notes (id INTEGER PRIMARY KEY); INSERT INTO notes VALUES (1), (2), (3)')
  notes.close()
  const ask = (...words: readonly string[]) => machine.tidemark('query', '--file', file, ...words)
  const cut = await ask('--limit', '2', 'SELECT * FROM notes')
  expect([cut.code, cut.out]).toEqual([0, 'id\n--\n 1\n 2\n2 rows\n'])
  expect(cut.err).toBe('There are more than 2 rows; --limit N shows more.\n')
  expect((await ask('--limit', '2', '--csv', 'SELECT * FROM notes')).err).toBe(cut.err)
  expect(await machine.ask('query', '--file', file, '--limit', '2', 'SELECT * FROM notes')).toMatchObject({
    cut: true,
  })
  expect((await ask('--limit', '0', 'SELECT 1')).code).toBe(2)
  const wrong = await ask('SELECT * FORM notes')
  expect([wrong.code, wrong.err]).toEqual([
    2,
    expect.stringContaining('near "FORM": syntax error (line 1, column 10)'),
  ])
  expect((await ask('DELETE FROM notes')).err).toContain('a query only reads')
  const started = machine.start(
    'query',
    '--file',
    file,
    'WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c',
  )
  expect((await started.stop()).code).toBe(130)
})

const cells = (...texts: readonly string[]): readonly Cell[] =>
  texts.map((text) => ({ text, right: /^\d+$/.test(text) }))
const lay = (names: readonly string[], rows: readonly (readonly Cell[])[], columns = 40): readonly string[] =>
  layTable(names, rows, columns, (text) => text)

test('a table keeps within its columns, whatever the values are', () => {
  expect(lay(['id', 'text'], [cells('1', 'x'.repeat(100)), cells('22', '日本語'.repeat(20))])).toEqual([
    'id  text',
    `--  ${'-'.repeat(36)}`,
    ` 1  ${'x'.repeat(35)}…`,
    `22  ${'日本語'.repeat(5)}日本…`,
  ])
  expect(lay(['a', 'b'], [])).toEqual(['a  b', '-  -'])
  const many = Array.from({ length: 9 }, (_, at) => `column ${at}`)
  const block = lay(many, [cells(...many), cells(...many.map((name) => name.repeat(9)))])
  expect(block.slice(0, 2)).toEqual(['column 0  column 0', 'column 1  column 1'])
  expect(block[9]).toBe('')
  for (const columns of [8, 20, 40, 80, 200]) {
    for (const count of [1, 3, 9]) {
      const names = many.slice(0, count)
      const lines = lay(names, [cells(...names.map(() => '👨‍👩‍👧 é 日本 x'.repeat(7)))], columns)
      for (const line of lines) expect(textWidth(line)).toBeLessThanOrEqual(columns)
    }
  }
})

test.each([
  ['abc', 3],
  ['日本', 4],
  ['ｶﾅ', 2],
  ['e\u0301', 1],
  ['👨‍👩‍👧', 2],
  ['❤️', 2],
  ['🇩🇪', 2],
  ['한국', 4],
  ['\u200b', 0],
])('%s takes %i columns', (text, width) => {
  expect(textWidth(text)).toBe(width)
})

test('a text is cut between characters', () => {
  expect(fitText('日本語', 5)).toBe('日本…')
  expect(fitText('日本語', 4)).toBe('日…')
  expect(fitText('日本語', 6)).toBe('日本語')
  expect(fitText('e\u0301e\u0301e\u0301', 2)).toBe('e\u0301…')
})

test('nothing in a value, a name or a failure steers a terminal', async () => {
  await using machine = await openMachine()
  const steering = '\u001b]0;x\u0007\u009b1m\u202e'
  const database = openAgentsDatabase(join(machine.folder, 'home', 'agents.db'))
  database.exec(`CREATE VIEW hostile AS SELECT * FROM "gone${steering}"`)
  database.close()
  for (const sql of [`SELECT '${steering}' AS "a${steering}"`, 'SELECT * FROM hostile']) {
    const { out, err } = await machine.tidemark('query', sql)
    expect(out + err).toContain(String.raw`\u001b]0;x`)
    // oxlint-disable-next-line no-control-regex
    expect(out + err).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/)
  }
})
