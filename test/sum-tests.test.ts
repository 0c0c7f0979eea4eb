import { expect, test } from 'vitest'

import { type Report, sumReports } from '../scripts/sum-tests.ts'

const report: Report = {
  numPassedTests: 5,
  numFailedTests: 0,
  numPendingTests: 1,
  numTodoTests: 1,
  success: true,
  testResults: [{ status: 'passed', assertionResults: [1, 2, 3, 4, 5] }],
}

test('reports are added up', () => {
  expect(sumReports([report, { ...report, numFailedTests: 2, success: false }])).toEqual({
    passed: 10,
    failed: 2,
    skipped: 4,
  })
})

test('a missing report, a file that did not load and an error outside any test count as failures', () => {
  expect(sumReports([null]).failed).toBe(1)
  const unloaded = { status: 'failed', assertionResults: [] }
  expect(sumReports([{ ...report, success: false, testResults: [unloaded, unloaded] }]).failed).toBe(2)
  expect(sumReports([{ ...report, success: false }]).failed).toBe(1)
})
