import { describe, expect, test } from 'vitest'

import type { Encoded } from '../../kernel/values.ts'
import { dirtyKeys, key, openFresh, pull, push, readAllDirty, record, rowsOf, touch } from './cycle.ts'
import type { ContractOptions, OpenStore } from './harness.ts'

/** Every storage class of SQLite, at its edges. */
const SQLITE_VALUES: readonly Encoded[] = [
  null,
  0,
  1,
  -1,
  9_007_199_254_740_991,
  -9_007_199_254_740_991,
  { $int: '9007199254740992' },
  { $int: '9223372036854775807' },
  { $int: '-9223372036854775808' },
  0.5,
  -1.25e-300,
  { $real: '0' },
  { $real: '-0' },
  { $real: '1' },
  { $real: '9007199254740992' },
  { $real: '1e+300' },
  { $real: 'Infinity' },
  { $real: '-Infinity' },
  '',
  'text',
  '1',
  'é 日本 🎏',
  '\u{feff}mark',
  'line\nbreak\u{7f}',
  '{"$int":"1"}',
  'x'.repeat(5_000),
  { $text: 'YQBi' },
  { $text: '/w==' },
  { $text: '7aCA' },
  { $bytes: '' },
  { $bytes: 'AAECAwT/' },
  { $bytes: 'YQ==' },
]

/** What browser stores hold beside. */
const JSON_VALUES: readonly Encoded[] = [
  true,
  false,
  [],
  [1, { $real: '1' }, [null]],
  {},
  { b: 1, a: { $int: '9007199254740992' } },
  { $object: { $int: 'not a number' } },
  { $date: '2026-01-29T14:30:00.000Z' },
]

/** Values come through bit for bit, whichever way they go. */
export function valuesContract(open: OpenStore, options: ContractOptions): void {
  const values = options.values === 'json' ? [...SQLITE_VALUES, ...JSON_VALUES] : SQLITE_VALUES

  describe('values', () => {
    test('I10: as the application wrote them', async () => {
      await using h = await openFresh(open)
      for (const [at, value] of values.entries()) await h.app.insert('things', { id: `v${at}`, value })
      const read = new Map((await readAllDirty(h.store)).map((row) => [row.key, row.fields?.['value']]))
      expect(values.map((_, at) => read.get(key(`v${at}`)))).toEqual(values)
    })

    test('I10: as the cloud sent them, and equal to their images', async () => {
      await using h = await openFresh(open)
      await pull(
        h.store,
        values.map((value, at) => record('things', at + 1, { id: `v${at}`, value })),
      )
      const rows = new Map((await rowsOf(h, 'things')).map((row) => [row['id'], row['value']]))
      expect(values.map((_, at) => rows.get(`v${at}`))).toEqual(values)
      for (const at of values.keys()) await h.app.update('things', { id: `v${at}` }, { id: `v${at}` })
      expect(await dirtyKeys(h.store)).toEqual([])
    })

    test('I10: values that look alike are not the same', async () => {
      await using h = await openFresh(open)
      const pairs: readonly (readonly [Encoded, Encoded])[] = [
        [1, { $real: '1' }],
        [{ $real: '0' }, { $real: '-0' }],
        [1, '1'],
        ['a', { $bytes: 'YQ==' }],
        ['', null],
        [{ $int: '9223372036854775807' }, { $real: '9223372036854775807' }],
        ['x'.repeat(100), `${'x'.repeat(99)}y`],
      ]
      for (const [at, [value]] of pairs.entries()) await h.app.insert('things', { id: `v${at}`, value })
      await push(h.store, 1)
      for (const [at, [, value]] of pairs.entries()) await h.app.update('things', { id: `v${at}` }, { value })
      for (const at of pairs.keys()) {
        expect(await touch(h.store, 'things', key(`v${at}`))).toMatchObject({ changed: ['value'] })
      }
    })
  })
}
