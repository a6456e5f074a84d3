<?php
return app()->withRouting(health: '/up');
