/**
 * Adds up vitest's JSON reports, named as arguments: one line `N passed, N failed, N skipped`, and exit code 1
 * when anything failed. A report that is missing, or a file that could not be loaded, is a failure.
 */
import { existsSync, readFileSync } from 'node:fs'

export interface Report {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly success: boolean
  readonly testResults: readonly { readonly status: string; readonly assertionResults: readonly unknown[] }[]
}

export interface Sum {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

export function sumReports(reports: readonly (Report | null)[]): Sum {
  let [passed, failed, skipped] = [0, 0, 0]
  for (const report of reports) {
    if (report === null) {
      failed++
      continue
    }
    const unloaded = report.testResults.filter(
      (file) => file.status === 'failed' && file.assertionResults.length === 0,
    )
    const found = report.numFailedTests + unloaded.length
    passed += report.numPassedTests
    skipped += report.numPendingTests + report.numTodoTests
    // A report without success that names nothing (an error outside any test) still counts.
    failed += found === 0 && !report.success ? 1 : found
  }
  return { passed, failed, skipped }
}

if (import.meta.main) {
  const reports = process.argv
    .slice(2)
    .map((file) => (existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Report) : null))
  const { passed, failed, skipped } = sumReports(reports)
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`)
  process.exitCode = failed === 0 ? 0 : 1
}
