import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    // Also beside the agents of whoever works in a clone, wherever those stand.
    include: ['**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**', '**/.*/**'],
    globalSetup: 'test/temporary-folder.ts',
    pool: 'threads',
    testTimeout: 20_000,
    hookTimeout: 20_000,
  },
})
