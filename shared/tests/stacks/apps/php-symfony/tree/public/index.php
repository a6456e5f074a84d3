<?php
// The start of a request.
