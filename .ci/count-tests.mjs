// Prints "N passed, N failed" from the JSON report of the tests. A file that could not be run counts as one failure, and so
// does a report that is not there.
import { readFileSync } from 'node:fs'

let passed = 0
let failed = 0
try {
  const report = JSON.parse(readFileSync(process.argv[2], 'utf8'))
  for (const { status, assertionResults } of report.testResults) {
    const failures = assertionResults.filter((test) => test.status === 'failed').length
    passed += assertionResults.filter((test) => test.status === 'passed').length
    failed += status === 'failed' ? Math.max(1, failures) : failures
  }
  if (passed + failed === 0) failed = 1
} catch (error) {
  console.log(`no report of the tests: ${error.message}`)
  failed = 1
}
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
