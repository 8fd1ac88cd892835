import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    // Also beside the agents of whoever works in a clone, wherever those stand.
    include: ['**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**', '**/.*/**'],
    globalSetup: 'test/temporary-folder.ts',
    pool: 'threads',
    // Much of a test is waiting for another process: leaving a core free, as is the default, costs a third of the time.
    maxWorkers: '100%',
    testTimeout: 20_000,
    hookTimeout: 20_000,
  },
})
