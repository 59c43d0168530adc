The daemon can serve browsers: `listen` in the new table `[web]` turns on a login page, over HTTP on loopback and over HTTPS beyond it. See the page "Web face" of the documentation.
