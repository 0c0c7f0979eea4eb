import type Database from 'better-sqlite3'

import { MAX_VERSION, VERSION_BITS } from './schema.ts'

/** A record as `SELECT` gives it, in the order of `RECORD_COLUMNS`. */
export type RecordRow = readonly [
  version: number,
  table: number,
  key: string,
  writer: number,
  hlc: number,
  buriedAt: number | null,
  sealed: string | null,
  ages: string | null,
  fields: string | null,
]
/** What only a decision needs of it, besides. */
export type StandingRow = readonly [...RecordRow, was: number | null, claims: string | null]

export type SpaceRow = readonly [no: number, epoch: string, head: number, floor: number, schema: number]
export type ReplicaRow = readonly [
  mutation: number,
  hashes: string,
  answer: string,
  acked: number | null,
  seen: number,
]
export type StagedRow = readonly [hash: string, of: number, attempt: string, bytes: number]

/** Of a `RecordRow`; with `, was, claims` of a `StandingRow`. */
export const RECORD_COLUMNS = `id & ${MAX_VERSION}, tbl, key, writer, hlc, buried_at, sealed, ages, fields`
/**
 * The JSON text of a live record, put together from the pieces it is kept in: nothing is parsed. The parameter is
 * its beginning, with the table.
 */
const RECORD_TEXT = `? || json_quote(key) || ',"version":' || (id & ${MAX_VERSION}) || ',"hlc":' || hlc
  || ',"by":' || json_quote((SELECT writers.id FROM writers WHERE no = writer)) || ',"fields":' || fields
  || iif(ages IS NULL, '', ',' || ages) || iif(sealed IS NULL, '', ',"sealed":' || json_quote(sealed)) || '}'`
/** Rows with more are read one at a time, so that a page of them needs no more memory than one row. */
const MAX_PAGED_BYTES = 32_768
/** Row ids of a space: its number in the high bits. */
const ID = `(? << ${VERSION_BITS}) | ?`

/** A prepared query: rows as arrays, or the one column of each. */
export interface Query<P extends unknown[], R> {
  get(...parameters: P): R | undefined
  all(...parameters: P): R[]
  iterate(...parameters: P): IterableIterator<R>
}

export interface Command<P extends unknown[]> {
  run(...parameters: P): { readonly changes: number; readonly lastInsertRowid: number | bigint }
}

export type Statements = ReturnType<typeof prepareStatements>

/** Every statement of the log, prepared once. Parameters are in the order of their `?`. */
export function prepareStatements(database: Database.Database) {
  type Values = readonly (string | number | null)[]
  const read = <P extends unknown[], R>(sql: string): Query<P, R> => database.prepare<P, R>(sql).raw()
  const pluck = <P extends unknown[], R>(sql: string): Query<P, R> => database.prepare<P, R>(sql).pluck()
  const write = <P extends unknown[]>(sql: string): Command<P> => database.prepare<P>(sql)
  type ById = [space: number, version: number]
  type ByKey = [table: number, key: string]
  return {
    findSpace: read<[id: string], SpaceRow>('SELECT no, epoch, head, floor, schema FROM spaces WHERE id = ?'),
    addSpace: write<[id: string, epoch: string]>(
      `INSERT INTO spaces (id, epoch, head, floor, schema, schema_tables) VALUES (?, ?, 0, 0, 0, '[]')`,
    ),
    resetSpace: write<
      [epoch: string, head: number, floor: number, schema: number, tables: string, space: number]
    >('UPDATE spaces SET epoch = ?, head = ?, floor = ?, schema = ?, schema_tables = ? WHERE no = ?'),
    moveHead: write<[head: number, space: number]>('UPDATE spaces SET head = ? WHERE no = ?'),
    raiseFloor: write<[floor: number, space: number]>('UPDATE spaces SET floor = ? WHERE no = ?'),
    readSchema: pluck<[space: number], string>('SELECT schema_tables FROM spaces WHERE no = ?'),
    writeSchema: write<[schema: number, tables: string, space: number]>(
      'UPDATE spaces SET schema = ?, schema_tables = ? WHERE no = ?',
    ),

    listGenerations: read<[space: number], [id: string, start: number]>(
      'SELECT id, start FROM generations WHERE space = ? ORDER BY number',
    ),
    dropGenerations: write<[space: number]>('DELETE FROM generations WHERE space = ?'),
    addGeneration: write<[space: number, number: number, id: string, start: number]>(
      'INSERT INTO generations (space, number, id, start) VALUES (?, ?, ?, ?)',
    ),

    listTables: read<[space: number], [no: number, name: string, live: number, buried: number]>(
      'SELECT no, name, live, buried FROM tables WHERE space = ? ORDER BY name',
    ),
    addTable: write<[space: number, name: string]>(
      'INSERT INTO tables (space, name, live, buried) VALUES (?, ?, 0, 0)',
    ),
    countTable: write<[live: number, buried: number, no: number]>(
      'UPDATE tables SET live = live + ?, buried = buried + ? WHERE no = ?',
    ),

    listWriters: read<[], [no: number, id: string]>('SELECT no, id FROM writers'),
    addWriter: write<[id: string]>('INSERT INTO writers (id) VALUES (?)'),

    findRecord: read<ByKey, StandingRow>(
      `SELECT ${RECORD_COLUMNS}, was, claims FROM records WHERE tbl = ? AND key = ?`,
    ),
    recordsSince: read<[...from: ById, ...to: ById, own: number, ...high: ById], RecordRow>(
      `SELECT ${RECORD_COLUMNS} FROM records WHERE id > (${ID}) AND id <= (${ID}) 
         AND (writer <> ? OR id > (${ID})) ORDER BY id`,
    ),
    liveTexts: read<
      [start: string, table: number, after: string, limit: number],
      [key: string, text: string | null]
    >(
      `SELECT key, iif(octet_length(fields) > ${MAX_PAGED_BYTES}, NULL, ${RECORD_TEXT}) FROM records
       WHERE tbl = ? AND key > ? AND buried_at IS NULL ORDER BY key LIMIT ?`,
    ),
    liveText: pluck<[start: string, table: number, key: string], string>(
      `SELECT ${RECORD_TEXT} FROM records WHERE tbl = ? AND key = ?`,
    ),
    replaceRecord: write<[...id: ById, ...rest: Values]>(
      `UPDATE records SET id = (${ID}), writer = ?, hlc = ?, buried_at = ?, sealed = ?, ages = ?, fields = ?, was = ?,
         claims = ? WHERE id = (${ID})`,
    ),
    addRecord: write<[...id: ById, ...rest: Values]>(
      `INSERT INTO records (id, writer, hlc, buried_at, sealed, ages, fields, was, claims, tbl, key)
       VALUES (${ID}, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    /** A live row without anything beside its fields: fewer parameters, which is most of what a row costs. */
    addPlainRecord: write<
      [...id: ById, writer: number, hlc: number, fields: string, table: number, key: string]
    >(`INSERT INTO records (id, writer, hlc, fields, tbl, key) VALUES (${ID}, ?, ?, ?, ?, ?)`),
    beginNewRows: write<[]>('SAVEPOINT new_rows'),
    undoNewRows: write<[]>('ROLLBACK TO new_rows'),
    endNewRows: write<[]>('RELEASE new_rows'),
    dropRecord: write<ById>(`DELETE FROM records WHERE id = (${ID})`),
    tombstones: read<
      [...from: ById, ...to: ById, released: number, before: number, limit: number],
      [version: number, table: number]
    >(
      `SELECT id & ${MAX_VERSION}, tbl FROM records
       WHERE buried_at IS NOT NULL AND id > (${ID}) AND id <= (${ID})
         AND (id & ${MAX_VERSION} <= ? OR buried_at < ?)
       ORDER BY id LIMIT ?`,
    ),

    findClaim: pluck<[table: number, name: string, value: string], string>(
      'SELECT key FROM claims WHERE tbl = ? AND name = ? AND value = ?',
    ),
    addClaim: write<[table: number, name: string, value: string, key: string]>(
      'INSERT INTO claims (tbl, name, value, key) VALUES (?, ?, ?, ?)',
    ),
    dropClaim: write<[table: number, name: string, value: string, key: string]>(
      'DELETE FROM claims WHERE tbl = ? AND name = ? AND value = ? AND key = ?',
    ),

    findReplica: read<[space: number, id: string], ReplicaRow>(
      'SELECT mutation, hashes, answer, acked, seen FROM replicas WHERE space = ? AND id = ?',
    ),
    listReaders: read<[space: number], [acked: number | null, seen: number]>(
      'SELECT acked, seen FROM replicas WHERE space = ?',
    ),
    countReplicas: pluck<[space: number], number>('SELECT count(*) FROM replicas WHERE space = ?'),
    keepMutation: write<
      [
        space: number,
        id: string,
        mutation: number,
        hashes: string,
        answer: string,
        acked: number | null,
        seen: number,
      ]
    >(
      `INSERT INTO replicas (space, id, mutation, hashes, answer, acked, seen) VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (space, id) DO UPDATE SET mutation = excluded.mutation, hashes = excluded.hashes,
         answer = excluded.answer, acked = excluded.acked, seen = excluded.seen`,
    ),
    seeReplica: write<[space: number, id: string, acked: number | null, seen: number]>(
      `INSERT INTO replicas (space, id, mutation, hashes, answer, acked, seen) VALUES (?, ?, 0, '[]', '[]', ?, ?)
       ON CONFLICT (space, id) DO UPDATE SET acked = excluded.acked, seen = excluded.seen`,
    ),
    dropReplica: write<[space: number, id: string]>('DELETE FROM replicas WHERE space = ? AND id = ?'),

    dropReplicas: write<[space: number]>('DELETE FROM replicas WHERE space = ?'),
    dropAllStaged: write<[space: number]>('DELETE FROM staged WHERE space = ?'),

    listStaged: read<[space: number, replica: string], StagedRow>(
      'SELECT hash, of_parts, attempt, bytes FROM staged WHERE space = ? AND replica = ? ORDER BY part',
    ),
    stagedChanges: pluck<[space: number, replica: string], string>(
      'SELECT changes FROM staged WHERE space = ? AND replica = ? ORDER BY part',
    ),
    stage: write<
      [
        space: number,
        replica: string,
        part: number,
        of: number,
        attempt: string,
        hash: string,
        bytes: number,
        changes: string,
      ]
    >(
      `INSERT INTO staged (space, replica, part, of_parts, attempt, hash, bytes, changes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    dropStaged: write<[space: number, replica: string]>('DELETE FROM staged WHERE space = ? AND replica = ?'),
    dropAbandoned: write<[space: number, sameSpace: number, liveSince: number]>(
      `DELETE FROM staged WHERE space = ? AND replica NOT IN
         (SELECT id FROM replicas WHERE space = ? AND seen >= ?)`,
    ),
  }
}
