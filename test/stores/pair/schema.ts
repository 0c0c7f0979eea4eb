import type { Chance } from '../../../src/stores/sqlite/capture/fuzz/chance.ts'

/** A table that two files share. */
export interface PairTable {
  readonly name: string
  /** Key columns, with the type of value that they take. */
  readonly key: readonly { readonly name: string; readonly kind: 'number' | 'text' }[]
  /** The key is the row's number, which SQLite can choose. */
  readonly alias: boolean
  /** Columns that edits write, beside the key; `tok` and `val` hold tokens. */
  readonly columns: readonly string[]
  /** The table that `parent` refers to. */
  readonly parent: PairTable | null
}

export interface PairSchema {
  readonly tables: readonly PairTable[]
  /** For both files. */
  readonly statements: readonly string[]
  /** What one of the files has and the other has not: rules and indexes, never columns. */
  readonly extras: readonly string[]
  /** Columns that only the newer file has: table → column. */
  readonly newer: readonly { readonly table: string; readonly column: string }[]
  readonly fullText: readonly string[]
}

const NAMES = ['items', 'odd "name"', 'order', 'notes']

export function makePairSchema(chance: Chance): PairSchema {
  const tables: PairTable[] = []
  const statements: string[] = ['CREATE TABLE audit (what, key)']
  const extras: string[] = []
  const newer: { table: string; column: string }[] = []
  const fullText: string[] = []
  for (let count = chance.int(1, 3); count > 0; count--) {
    const table = addTable(chance, tables, statements)
    addIndexes(chance, table, statements, extras)
    if (chance.is(25)) newer.push({ table: table.name, column: 'late' })
    if (table.alias && chance.is(35)) {
      fullText.push(`${table.name} text`)
      addFullText(chance, table, statements)
    }
    if (chance.is(35)) extras.push(rule(chance, table))
  }
  addTriggers(chance, tables, statements)
  return { tables, statements, extras, newer, fullText }
}

/** The same tables with some rules taken away. */
export function loosen(chance: Chance, statements: readonly string[]): readonly string[] {
  return statements.map((sql) => {
    let text = sql
    for (const rule of [' NOT NULL DEFAULT 0', ' UNIQUE,', ' CHECK (n <> 9)'])
      if (chance.is(40)) text = text.replace(rule, rule.endsWith(',') ? ',' : '')
    // Outside STRICT tables ANY is a number's type.
    return chance.is(40)
      ? text
          .replace(/ STRICT$/, '')
          .replace(' x ANY', ' x ')
          .replace(/,$/, '')
      : text
  })
}

export const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`

function addTable(chance: Chance, tables: PairTable[], statements: string[]): PairTable {
  const name = NAMES[tables.length] as string
  const kind = chance.pick(['alias', 'alias', 'text', 'text', 'pair'] as const)
  const strict = chance.is(20)
  const parents = tables.filter((table) => table.key.length === 1)
  const parent = parents.length > 0 && chance.is(60) ? chance.pick(parents) : null
  const definitions: string[] = []
  const key: PairTable['key'][number][] = []
  if (kind === 'alias') {
    key.push({ name: 'id', kind: 'number' })
    definitions.push(`id INTEGER PRIMARY KEY${chance.maybe(25, ' AUTOINCREMENT')}`)
  } else if (kind === 'text') {
    key.push({ name: 'id', kind: 'text' })
    definitions.push(`id TEXT NOT NULL${chance.maybe(30, ' COLLATE NOCASE')} PRIMARY KEY`)
  } else {
    key.push({ name: 'a', kind: 'text' }, { name: 'b', kind: 'number' })
    definitions.push('a TEXT NOT NULL', 'b INTEGER NOT NULL')
  }
  const any = strict ? 'ANY' : ''
  definitions.push(
    'tok TEXT',
    'val TEXT',
    `n INTEGER${chance.maybe(25, ' NOT NULL DEFAULT 0')}${chance.maybe(15, ' CHECK (n <> 9)')}${chance.maybe(25, ' UNIQUE')}`,
    `m TEXT${chance.maybe(20, ' COLLATE NOCASE')}${chance.maybe(20, ' UNIQUE')}`,
    `x ${any}`,
  )
  const columns = ['tok', 'val', 'n', 'm', 'x']
  if (parent !== null) {
    columns.push('parent')
    const action = (): string => chance.pick(['CASCADE', 'CASCADE', 'SET NULL', 'NO ACTION', 'RESTRICT'])
    const [to] = parent.key
    definitions.push(
      `parent ${to?.kind === 'number' ? 'INTEGER' : 'TEXT'} REFERENCES ${quote(parent.name)} (${to?.name ?? ''})` +
        ` ON DELETE ${action()} ON UPDATE ${action()}${chance.maybe(30, ' DEFERRABLE INITIALLY DEFERRED')}`,
    )
  }
  if (chance.is(20)) definitions.push(`g TEXT AS (val || '.') ${chance.pick(['STORED', 'VIRTUAL'])}`)
  if (kind === 'pair') definitions.push('PRIMARY KEY (a, b)')
  const options = [
    ...(kind !== 'alias' && chance.is(35) ? ['WITHOUT ROWID'] : []),
    ...(strict ? ['STRICT'] : []),
  ]
  statements.push(`CREATE TABLE ${quote(name)} (${definitions.join(', ')}) ${options.join(', ')}`.trim())
  const table = { name, key, alias: kind === 'alias', columns, parent }
  tables.push(table)
  return table
}

function addIndexes(chance: Chance, table: PairTable, statements: string[], extras: string[]): void {
  if (!chance.is(45)) return
  const terms = chance.pick([
    'n',
    'lower(m)',
    'n, m',
    'm) WHERE (n > 1',
    'x',
    'coalesce(n, 0), m',
    'm COLLATE RTRIM',
  ])
  const into = chance.is(35) ? extras : statements
  into.push(`CREATE UNIQUE INDEX ${quote(`${table.name} by ${terms}`)} ON ${quote(table.name)} (${terms})`)
}

/** A rule of the application that only one file has. */
function rule(chance: Chance, { name }: PairTable): string {
  const test = chance.pick(['NEW.n = 4', "NEW.m = 'b'", 'NEW.n IS NULL'])
  const event = chance.pick(['INSERT', 'UPDATE'])
  return `CREATE TRIGGER ${quote(`${name} rule ${test} ${event}`)} BEFORE ${event} ON ${quote(name)} WHEN ${test} BEGIN SELECT RAISE(${chance.pick(["ABORT, 'no'", "FAIL, 'no'", 'IGNORE'])}); END`
}

/** Sometimes the triggers that keep it write a synced table too. */
function addFullText(chance: Chance, table: PairTable, statements: string[]): void {
  const [on, text, count] = [quote(table.name), quote(`${table.name} text`), quote(`${table.name} count`)]
  const put = `INSERT INTO ${text} (rowid, val, m) VALUES (NEW.id, NEW.val, NEW.m)`
  const take = `INSERT INTO ${text} (${text}, rowid, val, m) VALUES ('delete', OLD.id, OLD.val, OLD.m)`
  const isMixed = chance.is(40)
  const counting = isMixed ? `; UPDATE ${count} SET n = n + 1` : ''
  if (isMixed)
    statements.push(
      `CREATE TABLE ${count} (id TEXT NOT NULL PRIMARY KEY, n INTEGER NOT NULL)`,
      `INSERT INTO ${count} VALUES ('rows', 0)`,
    )
  const trigger = (event: string, body: string): string =>
    `CREATE TRIGGER ${quote(`${table.name} text ${event}`)} AFTER ${event} ON ${on} BEGIN ${body}; END`
  statements.push(
    `CREATE VIRTUAL TABLE ${text} USING fts5 (val, m, content=${on}, content_rowid='id')`,
    trigger('INSERT', `${put}${counting}`),
    trigger('DELETE', take),
    trigger('UPDATE', `${take}${counting}; ${put}`),
  )
}

/** Triggers that write synced tables, and one that writes a table that is not. */
function addTriggers(chance: Chance, tables: readonly PairTable[], statements: string[]): void {
  const table = chance.pick(tables)
  const on = quote(table.name)
  const key = table.key[0]?.name ?? ''
  if (chance.is(30)) {
    statements.push(
      'CREATE TABLE counts (id TEXT NOT NULL PRIMARY KEY, n INTEGER NOT NULL)',
      "INSERT INTO counts VALUES ('rows', 0)",
      `CREATE TRIGGER counting AFTER INSERT ON ${on} BEGIN UPDATE counts SET n = n + 1; END`,
      `CREATE TRIGGER uncounting AFTER DELETE ON ${on} BEGIN UPDATE counts SET n = n - 1; END`,
    )
  }
  if (chance.is(30))
    statements.push(
      `CREATE TRIGGER auditing AFTER ${chance.pick(['INSERT', 'UPDATE'])} ON ${on} BEGIN INSERT INTO audit VALUES ('seen', NEW.${key}); END`,
    )
  if (chance.is(20))
    statements.push(
      `CREATE TRIGGER trimming AFTER INSERT ON ${on} WHEN NEW.m <> trim(NEW.m) BEGIN UPDATE ${on} SET m = trim(NEW.m) WHERE ${key} = NEW.${key}; END`,
    )
  const child = tables.find(({ parent }) => parent === table)
  if (chance.is(25) && child !== undefined)
    statements.push(
      `CREATE TRIGGER orphaning BEFORE DELETE ON ${on} BEGIN DELETE FROM ${quote(child.name)} WHERE parent = OLD.${key}; END`,
    )
}
