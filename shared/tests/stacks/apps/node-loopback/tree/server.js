require('express')().listen(3000, '127.0.0.1');
