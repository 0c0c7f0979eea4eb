/**
 * Writes `docs/errors.md` from the table in `src/kernel/errors.ts`. With `--check` it writes nothing and exits
 * with 1 when the page is stale.
 */
import { readFile, writeFile } from 'node:fs/promises'

import { ERRORS } from '../src/kernel/errors.ts'

export const ERRORS_PAGE = new URL('../docs/errors.md', import.meta.url)

interface Row {
  readonly code: string
  readonly status: number
  readonly retry: boolean
  readonly title: string
  readonly hint: string
}

export function writeErrorsPage(): string {
  const rows: readonly Row[] = Object.entries(ERRORS).map(([code, row]) => ({ code, ...row }))
  const answered = rows.filter((row) => row.status > 0)
  const local = rows.filter((row) => row.status === 0)
  return `# Errors

Every error has a code, which never changes its meaning, a message and a hint. Messages and details never hold
row values. The codes stand in \`src/kernel/errors.ts\`, from which this page is generated
(\`node scripts/generate-errors.ts\`).

*Again* says that the same request may succeed later; Tidemark repeats those by itself, after a wait that grows.
The others are definite.

## Answered by the cloud

The body is \`{"error":{"code","message","details","retry"}}\`; \`Retry-After\` says how many seconds to wait,
where the cloud knows.

| status | code | meaning | again | what to do |
|---|---|---|---|---|
${answered
  .toSorted((a, b) => a.status - b.status)
  .map((row) => line([String(row.status), ...cells(row)]))
  .join('\n')}

## Met on your own machine

| code | meaning | again | what to do |
|---|---|---|---|
${local.map((row) => line(cells(row))).join('\n')}
`
}

const cells = (row: Row) => [`\`${row.code}\``, row.title, row.retry ? 'yes' : 'no', row.hint]
const line = (texts: readonly string[]) =>
  `| ${texts.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`

if (import.meta.main) {
  const page = writeErrorsPage()
  if (!process.argv.includes('--check')) await writeFile(ERRORS_PAGE, page)
  else if ((await readFile(ERRORS_PAGE, 'utf8')) !== page) {
    console.error('docs/errors.md is stale: run node scripts/generate-errors.ts')
    process.exitCode = 1
  }
}
