import { readFileSync } from 'node:fs'

import { Compile } from 'typebox/compile'
import { describe, expect, test } from 'vitest'

import * as limits from './limits.ts'
import { HEADERS, ROUTES } from './routes.ts'
import { PROTOCOL_VERSION } from './version.ts'
import { WIRE_SCHEMAS } from './wire-schemas.ts'

const page = readFileSync(new URL('../../docs/protocol.md', import.meta.url), 'utf8')

describe('docs/protocol.md', () => {
  test('lists every route with its scope, and no other', () => {
    const listed = page.match(/^\| `(?:GET|POST|PUT|PATCH|DELETE) \S+` \| \w+ \|/gm)
    const routes = Object.values(ROUTES).map(
      (route) => `| \`${route.method} ${route.path}\` | ${route.scope} |`,
    )
    expect(listed?.toSorted()).toEqual(routes.toSorted())
  })

  test('names every header and the version', () => {
    for (const header of Object.values(HEADERS)) expect(page).toContain(`\`${header}: `)
    expect(page).toContain(`\`${HEADERS.protocol}: ${PROTOCOL_VERSION}\``)
  })

  const examples = [...page.matchAll(/<!-- (\w+) -->\n```json\n([^`]*)```/g)]

  test('has examples', () => {
    expect(examples.length).toBeGreaterThanOrEqual(5)
  })

  test.each(examples.map(([, name, text]) => [name ?? '', text ?? '']))(
    'shows a %s as it is',
    (name, text) => {
      const schema = Object.entries(WIRE_SCHEMAS).find(([known]) => known === name)?.[1]
      expect(schema).toBeDefined()
      if (schema !== undefined) expect([...Compile(schema).Errors(JSON.parse(text))]).toEqual([])
    },
  )

  const mib = 1024 * 1024
  test.each([
    [limits.MAX_BODY_BYTES, 32 * mib, '| body, decompressed | 32 MiB |'],
    [limits.MAX_ROW_BYTES, 16 * mib, '| fields of one row | 16 MiB |'],
    [limits.MAX_PUSH_CHANGES, 20_000, '| changes of one push | 20,000 |'],
    [limits.MAX_PUSH_PARTS, 1_000, '1,000 parts'],
    [limits.MAX_STAGED_BYTES, 64 * mib, ', 64 MiB '],
    [limits.STAGED_CHANGE_BYTES, 512, 'a change counts as 512 bytes more'],
    [limits.MAX_PULL_RECORDS, 10_000, '| records of one pull | 10,000,'],
    [limits.MAX_PULL_BYTES, 4 * mib, 'or 4 MiB of fields |'],
    [limits.MAX_READ_KEYS, 1_000, '| records of one read | 1,000 |'],
    [limits.MAX_BATCH_RECORDS, 10_000, '| records of one batch | 10,000 |'],
    [limits.MAX_WAIT_S, 55, '| a long poll | 55 s |'],
    [limits.MAX_COLUMNS, 2_000, '| columns of a row | 2,000 |'],
    [limits.MAX_TABLES, 10_000, '| tables of a space | 10,000 |'],
    [limits.MAX_NAME_CHARS, 512, '| 512, 128, 64 characters |'],
    [limits.MAX_SPACE_CHARS, 128, '| 512, 128, 64 characters |'],
    [limits.MAX_ID_CHARS, 64, '| 512, 128, 64 characters |'],
  ])('says the limit %i', (limit, said, text) => {
    expect(limit).toBe(said)
    expect(page).toContain(text)
  })
})
