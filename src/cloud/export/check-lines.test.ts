import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { TidemarkError } from '../../kernel/errors.ts'
import { seededRandom } from '../../kernel/random.ts'
import { contentOf } from '../../testing/log-contract/copies-harness.ts'
import { codeOf, SPACE, START } from '../../testing/log-contract/harness.ts'
import type { Log } from '../log/log.ts'
import { MemoryLog } from '../log/memory.ts'
import { openSqliteLog } from '../log/sqlite.ts'
import { ExportDigest } from './digest.ts'
import { readExport } from './import-space.ts'
import type { HeaderLine, RecordLine, ReplicaLine } from './lines.ts'

let folder: string
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'tidemark-export-'))))
afterAll(() => rmSync(folder, { recursive: true }))

const clock = () => ({ now: () => START, after: () => () => {} })
const memory = (): MemoryLog => new MemoryLog({ clock: clock(), random: seededRandom(1) })

const importText = async (log: Log, text: string | Buffer): Promise<void> =>
  log.importSpace(SPACE, await readExport(once(Buffer.from(text))))

async function* once(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes
}

describe('a file that was made by hand, with the right hashes', () => {
  interface Parts {
    header: HeaderLine
    records: RecordLine[]
    replicas: ReplicaLine[]
  }

  const GOOD: Parts = {
    header: {
      format: 'tidemark-space',
      version: 1,
      epoch: 'e',
      generations: [
        { id: 'g1', start: 0 },
        { id: 'g2', start: 2 },
      ],
      head: 9,
      floor: 1,
      schema: 0,
      tables: [],
      records: 0,
      replicas: 0,
    },
    records: [
      { table: 't', key: '["1"]', version: 3, hlc: 1, by: 'a', fields: { x: 1 }, claims: { i: ['v', 3] } },
      {
        table: 't',
        key: '["2"]',
        version: 5,
        hlc: 1,
        by: 'a',
        fields: { x: 1, y: 2 },
        since: [2, 1],
        fieldVersions: { y: [5, 1] },
      },
      { table: 't', key: '["3"]', version: 7, hlc: 1, by: 'b', deleted: true, buriedAt: START },
    ],
    replicas: [
      {
        replica: 'a',
        mutation: 2,
        hashes: ['h'],
        answer: [
          [0, 4, 2],
          [1, 3, 't', '["1"]', { x: 1 }],
          [2, 't', '["1"]'],
        ],
        acked: 3,
        seen: START,
      },
      { replica: 'b', mutation: 0, hashes: [], answer: [], acked: null, seen: START },
    ],
  }

  const textOf = ({ header, records, replicas }: Parts): string => {
    const digest = new ExportDigest()
    const counted = { ...header, records: header.records || records.length, replicas: replicas.length }
    digest.header(counted)
    digest.addRecords(records)
    digest.addReplicas(replicas)
    return [counted, ...records, ...replicas, digest.end()].map((line) => JSON.stringify(line)).join('\n')
  }
  const [first, second, buried] = GOOD.records as [RecordLine, RecordLine, RecordLine]
  const [reader, fresh] = GOOD.replicas as [ReplicaLine, ReplicaLine]
  const record = (edit: object, base: RecordLine = first): Partial<Parts> => ({
    records: [{ ...base, ...edit }, ...GOOD.records.slice(1)],
  })
  const replica = (edit: object): Partial<Parts> => ({
    replicas: [{ ...reader, ...edit }, fresh],
  })
  const header = (edit: object): Partial<Parts> => ({ header: { ...GOOD.header, ...edit } })

  test('is taken where a log could have held it', async () => {
    const log = memory()
    await importText(log, textOf(GOOD))
    expect((await contentOf(log)).records).toHaveLength(3)
  })

  const wrong: { readonly [what: string]: Partial<Parts> } = {
    'a floor above the head': header({ floor: 10 }),
    'a generation past the head': header({ generations: [{ id: 'g', start: 10 }] }),
    'generations out of order': header({
      generations: [
        { id: 'g', start: 3 },
        { id: 'h', start: 2 },
      ],
    }),
    'a generation twice': header({
      generations: [
        { id: 'g', start: 0 },
        { id: 'g', start: 2 },
      ],
    }),
    'no generation': header({ generations: [] }),
    'more in a generation': header({ generations: [{ id: 'g', start: 0, x: 1 }] }),
    'an unknown member': header({ extra: 1 }),
    'a count that is wrong': header({ records: 7 }),
    'a schema of something else': header({ tables: [{ name: 't' }] }),
    'a lone surrogate in the schema': header({
      tables: [
        { name: 't', columns: [{ name: '\ud800', type: '' }], key: ['x'], unique: [], foreignKeys: [] },
      ],
    }),
    'an epoch with odd letters': header({ epoch: 'e\n' }),
    'versions out of order': { records: [second, first, buried] },
    'a version above the head': record({ version: 10 }, buried),
    'no version': record({ version: 0 }),
    'NUL in a table': record({ table: 't\0' }),
    'a lone surrogate in a key': record({ key: '["\ud800"]' }),
    'a key that is too long': record({ key: `["${'é'.repeat(600)}"]` }),
    'a value that no row can have': record({ fields: { x: { $int: '1' } } }),
    'nesting without end': record({
      fields: { x: JSON.parse(`${'['.repeat(2_000)}${']'.repeat(2_000)}`) as unknown },
    }),
    'an unknown part of a record': record({ extra: 1 }),
    'neither fields nor deleted': record({ fields: undefined }),
    'fields of a deleted record': record({ fields: {} }, buried),
    'a deleted record without a time': record({ buriedAt: undefined }, buried),
    'a live record with one': record({ buriedAt: 1 }),
    'ages from the future': record({ since: [4, 1] }),
    'an age of a field from the future': record({ since: [1, 1], fieldVersions: { x: [4, 1] } }),
    'ages of fields alone': record({ fieldVersions: { x: [1, 1] } }),
    'a claim from the future': record({ claims: { i: ['v', 4] } }),
    'NUL in a claim': record({ claims: { i: ['v\0', 3] } }),
    'an odd writer': record({ by: 'a b' }),
    'a record after the replicas': { replicas: [reader, first as unknown as ReplicaLine] },
    'replicas out of order': { replicas: [fresh, reader] },
    'a replica twice': { replicas: [reader, reader] },
    'a replica that has seen what is not there': replica({ acked: 10 }),
    'an answer that is ahead': replica({ answer: [[0, 8, 3]] }),
    'an answer of another kind': replica({ answer: [[9, 1]] }),
    'a run without end': replica({ answer: [[0, 1, 1e15]] }),
    'a value in an answer that no row can have': replica({
      answer: [[1, 3, 't', '["1"]', { x: { $a: 1 } }]],
    }),
    'NUL in an answer': replica({ answer: [[2, 't\0', '["1"]']] }),
    'a mutation without a hash': replica({ hashes: [] }),
  }
  for (const [what, parts] of Object.entries(wrong)) {
    test(`is refused with ${what}`, async () => {
      const log = memory()
      expect(await codeOf(importText(log, textOf({ ...GOOD, ...parts })))).toBe('not_an_export')
      expect(await codeOf(log.status(SPACE))).toBe('space_not_found')
    })
  }

  test('I10: is refused with bytes that are no UTF-8, even where their replacement would fit', async () => {
    const text = Buffer.from(textOf({ ...GOOD, ...record({ fields: { x: '\ufffd' } }) }))
    await importText(memory(), text)
    const at = text.indexOf('\ufffd')
    const bytes = Buffer.concat([text.subarray(0, at), Buffer.from([0xff]), text.subarray(at + 3)])
    expect(await codeOf(importText(memory(), bytes))).toBe('not_an_export')
  })

  test('never tells a value in its refusal', async () => {
    const text = textOf({ ...GOOD, ...record({ fields: { x: { $int: 'secret' } } }) })
    const error = await importText(memory(), text).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(TidemarkError)
    expect(JSON.stringify(error) + String((error as Error).message)).not.toContain('secret')
    expect((error as TidemarkError).details).toEqual({ line: 2 })
    const broken = await importText(memory(), text.replace('"secret"', 'secret')).catch(
      (thrown: unknown) => thrown,
    )
    expect(JSON.stringify(broken)).not.toContain('secret')
  })

  test.each(['two of one key', 'two of one unique value'])('is refused with %s', async (what) => {
    const other = what === 'two of one key' ? { key: first.key } : { claims: { i: ['v', 5] } }
    const parts = { ...GOOD, records: [first, { ...second, ...other } as RecordLine, buried] }
    await using file = await openSqliteLog({ file: join(folder, `${what}.db`), clock: clock() })
    for (const log of [memory(), file]) {
      expect(await codeOf(importText(log, textOf(parts)))).toBe('unprocessable')
      expect(await codeOf(log.status(SPACE))).toBe('space_not_found')
    }
  })
})
