/** Turns vitest's JSON result into the line that CI reads; exits with 1 when a test failed or none ran. */
import { readFileSync } from 'node:fs';

const count = read(process.argv[2]);
process.stdout.write(`${count.passed} passed, ${count.failed} failed\n`);
if (count.failed > 0 || count.passed === 0) process.exitCode = 1;

function read(file) {
  const text = readFileSync(file, 'utf8');
  if (text === '') return { passed: 0, failed: 0 };
  const { numPassedTests, numFailedTests, testResults } = JSON.parse(text);
  // A file that breaks outside its tests has none that failed.
  const broken = testResults.filter(
    ({ status, assertionResults }) =>
      status === 'failed' && !assertionResults.some((test) => test.status === 'failed'),
  );
  return { passed: numPassedTests, failed: numFailedTests + broken.length };
}
