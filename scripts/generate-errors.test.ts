import { readFile } from 'node:fs/promises'

import { expect, test } from 'vitest'

import { ERRORS } from '../src/kernel/errors.ts'
import { ERRORS_PAGE, writeErrorsPage } from './generate-errors.ts'

test('docs/errors.md says what the table of errors says (else run node scripts/generate-errors.ts)', async () => {
  expect(await readFile(ERRORS_PAGE, 'utf8')).toBe(writeErrorsPage())
})

test('every code has one line', () => {
  const page = writeErrorsPage()
  for (const code of Object.keys(ERRORS)) {
    expect(page.split('\n').filter((text) => text.includes(`| \`${code}\` |`))).toHaveLength(1)
  }
})
